"""The ledger in Delta's log: a `txn` action for each step, without `lastUpdated`, so that no retention forgets it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from penstock.connectors.reaching import reaching
from penstock.errors import LedgerError
from penstock.ledgers import FORMAT, PROPERTY, loads

if TYPE_CHECKING:
    from deltalake import DeltaTable as Native

FORMAT_APP = "penstock.ledger.format"
_RECENT = 20


class TransactionLedger(Mapping[str, int]):
    """Numbers are looked up in the log's state, which holds them for ever; names, which it does not list, come from the newest commit of ours in the log.

    `what`: how errors name the table. Raises LedgerError for a table whose ledger a newer Penstock wrote, ConnectionFailedError.
    """

    def __init__(self, native: Native, what: str) -> None:
        self._native, self._what = native, what
        if (written := self._number(FORMAT_APP) or 0) > FORMAT:
            raise LedgerError(f"a ledger of format {written} was written by a newer Penstock; this one reads up to {FORMAT}", hint="upgrade Penstock")

    def _number(self, key: str) -> int | None:
        with self._read():
            number: int | None = self._native.transaction_version(key)
            return number

    @contextmanager
    def _read(self) -> Iterator[None]:
        """delta-rs reads the log when it is asked, not when the table is loaded: another tool may have removed it meanwhile."""
        from deltalake.exceptions import DeltaError

        with reaching(self._what):
            try:
                yield
            except DeltaError as error:
                raise LedgerError(f"the log of {self._what} at version {self._native.version()} is gone: {error}", hint="run again") from error

    def __getitem__(self, key: str) -> int:
        if (number := self._number(key)) is None:
            raise KeyError(key)
        return number

    @cached_property
    def _names(self) -> tuple[str, ...]:
        """delta-rs's history goes on to the newest commit, whichever was loaded: a name counts where this state has a number for it."""
        if self._number(FORMAT_APP) is None:
            return ()
        for depth in (_RECENT, None):
            with self._read():
                commits = self._native.history(depth)
            for commit in commits:
                if PROPERTY in commit:
                    return tuple(key for key in loads(commit[PROPERTY]) if self._number(key) is not None)
        return ()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
