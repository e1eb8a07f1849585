"""Every reader that is fuzzed."""

from . import records, settings, texts

READERS = [*settings.READERS, *texts.READERS, *records.READERS]
