"""The three outcomes of a commit."""

from __future__ import annotations

import pytest

from penstock.changes.counts import Counts
from penstock.commits import Outcome, applied, settle
from penstock.errors import CommitConflictError, CommitUnknownError, ConservationError, LedgerError

LOST = Outcome("unknown", cause="connection reset")


def test_a_known_outcome_is_not_read_again() -> None:
    def read() -> tuple[int | None, int]:
        pytest.fail("the target was read")

    assert settle(Outcome("done", 7), read, 3) == Outcome("done", 7)
    with pytest.raises(CommitConflictError):
        settle(Outcome("failed", cause="lost the race"), read, 3)


@pytest.mark.parametrize(("held", "expected"), [(3, "done"), (2, "failed")])
def test_an_unknown_outcome_is_what_the_target_says(held: int, expected: str) -> None:
    if expected == "done":
        assert settle(LOST, lambda: (9, held), 3) == Outcome("done", 9)
    else:
        with pytest.raises(CommitConflictError, match="connection reset"):
            settle(LOST, lambda: (9, held), 3)


def test_an_unknown_outcome_stays_unknown_where_nothing_can_be_read() -> None:
    def read() -> tuple[int | None, int]:
        raise OSError("no route")

    with pytest.raises(CommitUnknownError, match="run again"):
        settle(LOST, read, 3)


def test_a_ledger_ahead_of_the_batch_is_another_writer() -> None:
    with pytest.raises(LedgerError, match="another writer"):
        settle(LOST, lambda: (9, 4), 3)


def test_a_step_that_never_committed_has_applied_nothing() -> None:
    assert applied({"a/b": 4}, "a/c") == 0


def test_the_conservation_law_can_fail() -> None:
    Counts(read=6, applied=1, unchanged=1, superseded=1, duplicate=1, filtered=1, quarantined=1).check("here")
    with pytest.raises(ConservationError, match="7 events were read but 6 are accounted for"):
        Counts(read=7, applied=1, unchanged=1, superseded=1, duplicate=1, filtered=1, quarantined=1).check("here")
