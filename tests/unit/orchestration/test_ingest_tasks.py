"""How an ingest ends."""

import pytest

from stonk_pipeline.records.ingests import Change, Ingest
from tasks.ingest import final_state

NEW = Change(symbol="AAPL", added=3, before="a", after="b")
SAME = Change(symbol="MSFT", before="c", after="c")
BAD = Change(symbol="IBM", failed="status 404")


@pytest.mark.parametrize(
    ("changes", "name", "kind", "words"),
    [
        ((NEW, SAME), "Completed", "COMPLETED", "1 of 2 stocks changed, 3 bars added"),
        ((SAME,), "Completed", "COMPLETED", "0 of 1"),
        ((), "Completed", "COMPLETED", "0 of 0"),
        ((NEW, BAD), "Warning", "COMPLETED", "IBM: status 404"),
        ((BAD,), "Failed", "FAILED", "every stock failed: IBM: status 404"),
    ],
)
def test_final_state_says_what_changed_and_what_failed(changes, name, kind, words):
    state = final_state(Ingest(time="", source="", changes=changes, files={}, digest=""))
    assert (state.name, state.type.value) == (name, kind)
    assert words in state.message
