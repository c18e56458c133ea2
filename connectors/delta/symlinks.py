"""Lists of a table's files, for readers that do not know the log: Redshift reads a Delta table by them. Each partition has one, in a folder of Hive's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from penstock.objects import ObjectStore
from penstock.threads import each

ENABLES = "delta.compatibility.symlinkFormatManifest.enabled"
FOLDER = "_symlink_format_manifest"
_NULL = "__HIVE_DEFAULT_PARTITION__"
Values = Mapping[str, str | None]


def lists(files: Iterable[tuple[Values, str]], *, has_partitions: bool) -> dict[str, bytes]:
    """Key below the table's folder, and text, of each list, by partition values as the log spells them and URIs; without partitions one, if only of nothing."""
    found = defaultdict[str, list[str]](list) if has_partitions else defaultdict[str, list[str]](list, {f"{FOLDER}/manifest": []})
    for values, uri in files:
        folders = (f"{quote(name, safe='')}={_NULL if value is None else quote(value, safe='')}" for name, value in values.items())
        found["/".join([FOLDER, *folders, "manifest"])].append(uri)
    return {key: "".join(f"{uri}\n" for uri in sorted(uris)).encode() for key, uris in found.items()}


def publish(store: ObjectStore, wanted: Mapping[str, bytes]) -> None:
    """Make the lists those; new and changed ones come before those go that are of no partition any more."""

    def write(key: str) -> None:
        if (held := store.find(key)) is None or held[0] != wanted[key]:
            store.write(key, wanted[key])

    each(write, wanted)
    for found in list(store.list(f"{FOLDER}/")):
        if (key := found.uri.removeprefix(store.root)) not in wanted:
            store.delete(key)
