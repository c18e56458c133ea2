"""The three outcomes of a commit, and what follows from each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from penstock.errors import CommitConflictError, CommitUnknownError

State = Literal["done", "failed", "unknown"]


@dataclass(frozen=True)
class Outcome:
    """`done`: published as `version`. `failed`: another writer was first, nothing of ours is visible. `unknown`: the answer was lost."""

    state: State
    version: int | None = None
    cause: str = ""


def ledger_key(pipeline: str, step: str) -> str:
    return f"{pipeline}/{step}"


def applied(ledger: Mapping[str, int], key: str) -> int:
    """The last batch that the target holds: all up to it are applied, none after it."""
    return ledger.get(key, 0)


def settle(outcome: Outcome, is_there: Callable[[], bool], batch: int) -> Outcome:
    """Turn an unknown outcome into done or failed by reading the target: `is_there` says whether it holds this very commit.

    Raises CommitConflictError when the commit failed, and CommitUnknownError when the target cannot be read either.
    """
    if outcome.state == "unknown":
        try:
            found = is_there()
        except Exception as error:
            raise CommitUnknownError(
                f"the answer to the commit of batch {batch} was lost ({outcome.cause}) and the target cannot be read: {error}",
                hint="run again: the target's ledger decides",
            ) from error
        outcome = replace(outcome, state="done" if found else "failed")
    if outcome.state == "failed":
        raise CommitConflictError(f"batch {batch} was not published: {outcome.cause}", hint="it is planned again over what changed")
    return outcome
