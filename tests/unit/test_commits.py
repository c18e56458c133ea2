"""The three outcomes of a commit."""

from __future__ import annotations

import pytest

from penstock.changes.counts import Counts
from penstock.commits import Outcome, applied, settle
from penstock.errors import CommitConflictError, CommitUnknownError, ConservationError

LOST = Outcome("unknown", cause="connection reset")


def test_a_known_outcome_is_not_read_again() -> None:
    def read() -> bool:
        pytest.fail("the target was read")

    assert settle(Outcome("done", 7), read, 3) == Outcome("done", 7)
    with pytest.raises(CommitConflictError):
        settle(Outcome("failed", cause="lost the race"), read, 3)


def test_an_unknown_outcome_is_what_the_target_says() -> None:
    assert settle(LOST, lambda: True, 3).state == "done"
    with pytest.raises(CommitConflictError, match="connection reset"):
        settle(LOST, lambda: False, 3)


def test_an_unknown_outcome_stays_unknown_where_nothing_can_be_read() -> None:
    def read() -> bool:
        raise OSError("no route")

    with pytest.raises(CommitUnknownError, match="run again"):
        settle(LOST, read, 3)


def test_a_step_that_never_committed_has_applied_nothing() -> None:
    assert applied({"a/b": 4}, "a/c") == 0


def test_the_conservation_law_can_fail() -> None:
    Counts(read=6, applied=1, unchanged=1, superseded=1, duplicate=1, filtered=1, quarantined=1).check("here")
    with pytest.raises(ConservationError, match="7 events were read but 6 are accounted for"):
        Counts(read=7, applied=1, unchanged=1, superseded=1, duplicate=1, filtered=1, quarantined=1).check("here")
