"""The statements that a batch has under way in Redshift, remembered so that a run that takes over finds them again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Literal

from penstock.objects import ObjectStore

from .client import DataApi, Done
from .wire_client import WireClient

Client = DataApi | WireClient
Phase = Literal["stage", "publish", "unload"]


@dataclass(frozen=True)
class Submitted:
    """What was sent last: the statement's id, how many were sent before it, and a hash of its text."""

    id: str
    attempt: int
    text: str

    def dumps(self) -> bytes:
        return json.dumps(asdict(self)).encode()


class Statements:
    """One statement for each phase of a step at a time, each attempt executed once.

    The ClientToken is a hash of database, step, phase, text and attempt. The attempt rises only when the last one has ended, so that a
    run that was killed between sending and remembering sends the same token, and is given the same statement. Without `state` nothing is remembered.
    """

    def __init__(self, api: Client, state: ObjectStore | None) -> None:
        self._api, self._state = api, state

    def run(self, step: str, phase: Phase, statements: Sequence[str], prepare: Callable[[], None] | None = None) -> Done:
        """Run statements as one transaction, or take up the same ones where an earlier run left them at work.

        `prepare` is called before they are sent, and not where they are taken up. Raises as DataApi.run does.
        """
        text, last = _hash(*self._api.where, step, phase, *statements), self._last(step, phase)
        if last and not self._api.has_ended(last.id):
            if last.text == text:
                return self._api.attach(last.id)
            self._api.cancel(last.id)
            self._api.wait(last.id)
        if prepare:
            prepare()
        if self._state is None:
            return self._api.run(statements)
        attempt = last.attempt + 1 if last else 0
        key, state = _key(step, phase), self._state
        return self._api.run(statements, _hash(text, str(attempt)), lambda sent: state.write(key, Submitted(sent, attempt, text).dumps()))

    def wait(self, step: str, phase: Phase) -> None:
        """Wait until what an earlier run left at work has ended, however it ends."""
        last = self._last(step, phase)
        if last and not self._api.has_ended(last.id):
            self._api.wait(last.id)

    def _last(self, step: str, phase: Phase) -> Submitted | None:
        found = self._state.find(_key(step, phase)) if self._state else None
        return Submitted(**json.loads(found[0])) if found else None


def _key(step: str, phase: Phase) -> str:
    return f"statements/{step}/{phase}.json"


def _hash(*parts: str) -> str:
    return sha256("\0".join(parts).encode()).hexdigest()
