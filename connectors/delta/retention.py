"""How far back a Delta table's log and files go: checkpoints, old log entries, files of old versions."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import unquote

from penstock.connectors.removing import removed

_INTERVAL = re.compile(r"(?:interval )?(\d+) (hour|day|week)s?")

if TYPE_CHECKING:
    import pyarrow.fs as fs
    from deltalake import DeltaTable as Native


def since_checkpoint(native: Native, system: fs.FileSystem, root: str) -> int:
    """How many log entries a reader reads besides the last checkpoint."""
    import pyarrow.fs as fs

    (found,) = system.get_file_info([f"{root}/_delta_log/_last_checkpoint"])
    if found.type != fs.FileType.File:
        return int(native.version()) + 1
    with system.open_input_file(found.path) as stream:
        return int(native.version()) - int(json.loads(stream.read())["version"])


def old_entries(native: Native, system: fs.FileSystem, root: str) -> int:
    """How many log entries delta-rs would remove: older than the table's log retention (30 days where it has none) and than a checkpoint that is so too."""
    import pyarrow.fs as fs

    text = native.metadata().configuration.get("delta.logRetentionDuration") or ""
    found = _INTERVAL.fullmatch(text.strip())
    since = datetime.now(UTC) - (timedelta(**{f"{found[2]}s": int(found[1])}) if found else timedelta(days=30))
    old = [e.base_name for e in system.get_file_info(fs.FileSelector(f"{root}/_delta_log")) if e.mtime is not None and e.mtime < since]
    checkpoints = [name[:20] for name in old if ".checkpoint" in name and name[:20].isdigit()]
    return sum(name.endswith(".json") and name[:20].isdigit() and name[:20] < max(checkpoints) for name in old) if checkpoints else 0


def forget_log(native: Native, system: fs.FileSystem, root: str) -> list[tuple[str, int]]:
    """Remove what the log says of versions before the present one, which has a checkpoint; returns paths and bytes."""
    import pyarrow.fs as fs

    entries = system.get_file_info(fs.FileSelector(f"{root}/_delta_log"))
    old = [e for e in entries if e.is_file and e.base_name[:20].isdigit() and int(e.base_name[:20]) < native.version()]
    return [(entry.path.removeprefix(f"{root}/"), entry.size or 0) for entry in removed(old, lambda entry: system.delete_file(entry.path))]


def vacuum(native: Native, system: fs.FileSystem, root: str, before: datetime, needed: Collection[int], vectors: Collection[str]) -> list[tuple[str, int]]:
    """Remove files that no version since `before`, and none of those needed, has; returns their paths and bytes.

    delta-rs takes deletion vectors for strays, live ones too: it is asked for its list alone, from which the `vectors` to be kept are left out.
    """
    hours = max(0, math.ceil((datetime.now(UTC) - before) / timedelta(hours=1)))
    listed = native.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=True, keep_versions=sorted(needed) or None)
    wanted = dict.fromkeys(path for path in map(unquote, listed) if path not in vectors)
    there = [info for info in system.get_file_info([f"{root}/{path}" for path in wanted]) if info.is_file] if wanted else []  # what the log says may be gone
    return [(info.path.removeprefix(f"{root}/"), info.size or 0) for info in removed(there, lambda info: system.delete_file(info.path))]
