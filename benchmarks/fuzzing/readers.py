"""Every reader that is fuzzed."""

from . import bars, models, records, settings, texts

READERS = [*bars.READERS, *settings.READERS, *texts.READERS, *records.READERS, *models.READERS]
