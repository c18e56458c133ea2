"""What a run says while it is at work, on a terminal and elsewhere."""

from __future__ import annotations

import io
import json

from penstock.jobs.record import Event
from penstock.report.watch import watching


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def said(out: io.StringIO, *, as_json: bool = False) -> str:
    with watching(out, as_json=as_json) as watch:
        watch(Event("step started", "orders"))
        watch(Event("note", "job-1", message="SUBMITTED [waiting]"))
        watch(Event("step done", "orders", message="done"))
    return out.getvalue()


def test_a_note_is_told_wherever_it_goes() -> None:
    assert "job-1: SUBMITTED [waiting]\n" in said(Terminal())
    assert said(io.StringIO()) == "job-1: SUBMITTED [waiting]\norders: done\n"
    assert [json.loads(line)["kind"] for line in said(io.StringIO(), as_json=True).splitlines()] == ["step started", "note", "step done"]
