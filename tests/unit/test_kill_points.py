"""Every named point at which a process may be killed is one at which some test kills or stops one."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def words(folder: str, pattern: str) -> set[str]:
    return {word for file in (ROOT / folder).rglob("*.py") if file != Path(__file__) for word in re.findall(pattern, file.read_text())}


def test_no_kill_point_is_untried() -> None:
    named = set.union(*(words(folder, r'\breach\("(\w+)"\)') for folder in ("penstock", "connectors", "jobs", "infra")))
    assert len(named) > 10
    assert named - words("tests", r'"(\w+)(?::\d+)?"') == set()
