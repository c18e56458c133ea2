"""What is known of the keys of a batch, as one set of distinct facts, whatever it is known from: the batch, the memory, the table.

State is events: a stored row is an upsert with its sequence, the memory holds events as they came. A fact is distinct by key, sequence, rank and content,
so nothing asks in which batch it came, and any order and any batching give one table.
Order of facts: sequence, then upsert < delete < truncate, then content (unavailable < NULL < the lesser < the greater value; never arrival).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from penstock.schema import BIGINT, Column, Columns, DataType, interval_columns, literal, names, quote
from penstock.sources import UNAVAILABLE

SEPARATOR = "\x1f"


@dataclass(frozen=True)
class MergeSpec:
    """A keyed table: its keys, its other columns, how many parts a sequence has.

    `history`: the table keeps every version of a row (SCD type 2); a change of a `tracked` column opens one. `soft_delete`: the column that
    marks rows as deleted, the first of `data`, so that of two events of one sequence the delete counts. `optional`: columns that are NULL where
    no event ever had a value. `key_changes`: a delete and an upsert of one sequence are one change, of a row's key.
    """

    keys: tuple[str, ...]
    data: tuple[str, ...]
    sequences: int
    history: bool = False
    tracked: tuple[str, ...] = ()
    soft_delete: str | None = None
    optional: frozenset[str] = frozenset()
    key_changes: bool = False

    @property
    def sequence(self) -> tuple[str, ...]:
        return tuple(f"__sequence_{i + 1}" for i in range(self.sequences))

    @property
    def start(self) -> tuple[str, ...]:
        return names(interval_columns([BIGINT] * self.sequences)[: self.sequences])

    @property
    def end(self) -> tuple[str, ...]:
        return names(interval_columns([BIGINT] * self.sequences)[self.sequences :])

    @property
    def hidden(self) -> tuple[str, ...]:
        """The columns that the table has besides those declared."""
        return (*self.start, *self.end) if self.history else self.sequence

    @property
    def stored(self) -> tuple[str, ...]:
        """The columns of a row as the table keeps it."""
        return (*self.keys, *self.data, *self.hidden)

    @property
    def event(self) -> tuple[str, ...]:
        """The columns of an event as the memory keeps it."""
        return ("__op", *self.keys, *self.sequence, *self.data, UNAVAILABLE)


def memory_columns(spec: MergeSpec, known: Columns) -> Columns:
    """The columns of a memory, typed as the table's and the sequence's own; any may be NULL, since a truncate has no key."""
    types = {c.name: c.type for c in known}
    return tuple(Column(c, types.get(c, DataType("string"))) for c in spec.event)


def unavailable(columns: Iterable[str]) -> str | None:
    """The names of columns whose value an event leaves out, as `__unavailable` holds them; none for a whole row."""
    found = SEPARATOR.join(columns)
    return f"{SEPARATOR}{found}{SEPARATOR}" if found else None


def listed(form: str, columns: Iterable[str], between: str = ", ") -> str:
    """`form` once per name, {0} the quoted name, {i} its number: listed('a.{0} = b.{0}', keys, ' AND ')."""
    return between.join(form.format(quote(c), i=i) for i, c in enumerate(columns))


def same_place(of: str, other: str, at: Sequence[str]) -> str:
    """The condition that two rows have one key, whose first column comes first, and one start: NULL is a start, but a truncate's NULL is no key."""
    key, rest = listed(f"{of}.{{0}} = {other}.{{0}}", at[:1]), listed(f" AND {of}.{{0}} IS NOT DISTINCT FROM {other}.{{0}}", at[1:], "")
    return key + rest


def each(spec: MergeSpec, form: str) -> str:
    """`form` once per column that is no key, with nothing between."""
    return listed(form, spec.data, "")


def steps(final: str, **named: str) -> str:
    """A query of named steps, each over those before it."""
    return "WITH " + ",\n".join(f"{name} AS ({sql})" for name, sql in named.items()) + f"\n{final}"


def newest_first(spec: MergeSpec) -> str:
    return _order(spec, "DESC", "NULLS LAST")


def oldest_first(spec: MergeSpec) -> str:
    return _order(spec, "ASC", "NULLS FIRST")


def _order(spec: MergeSpec, way: str, nulls: str) -> str:
    content = (f"__has_{i} {way}, {quote(c)} {way} {nulls}" for i, c in enumerate(spec.data))
    return ", ".join([listed(f"{{0}} {way} {nulls}", spec.sequence), f"__rank {way}", *content])


def truncates(spec: MergeSpec) -> str:
    """Distinct truncates, the newest with `__age` 1; `__known` those that the memory has, `__read` how often the batch says one."""
    sequence = listed("{0}", spec.sequence)
    return f"""SELECT *, ROW_NUMBER() OVER (ORDER BY {listed("{0} DESC", spec.sequence)}) AS __age FROM (
      SELECT {sequence}, MAX(__old) AS __known, CAST(SUM(1 - __old) AS BIGINT) AS __read FROM (
        SELECT {sequence}, 0 AS __old FROM batch WHERE __op = 't'
        UNION ALL SELECT {sequence}, 1 AS __old FROM remembered WHERE __op = 't') said GROUP BY {sequence}) grouped"""


def facts(spec: MergeSpec, stored_at: tuple[str, ...], shadowed_by: tuple[str, ...]) -> dict[str, str]:
    """The steps that lead to `facts`, of which `__known` = 1 are those that memory or table had before the batch.

    A remembered upsert is the truth about a stored row that was completed from it, so it shadows the rows that have the same `shadowed_by` columns.
    `__rivals` counts stored rows of the same key and sequence but of other content: what a crash between the two commits leaves.
    """
    keys, sequence, data = (listed("{0}", part) for part in (spec.keys, spec.sequence, spec.data))
    has = ", ".join(f"__has_{i}" for i in range(len(spec.data)))
    content = ", ".join(part for part in (has, data) if part)
    event = ", ".join(part for part in ("__op", keys, sequence, data, UNAVAILABLE) if part)
    at = ", ".join(f"{quote(a)} AS {quote(b)}" for a, b in zip(stored_at, spec.sequence, strict=True))
    row = ", ".join(part for part in ("'u' AS __op", keys, at, data, f"NULL AS {UNAVAILABLE}") if part)
    flags = "".join(f", {_has(c)} AS __has_{i}" for i, c in enumerate(spec.data))
    masked = "".join(f", CASE WHEN __has_{i} THEN {quote(c)} END AS {quote(c)}" for i, c in enumerate(spec.data))
    nothing = "".join(f", FALSE AS __has_{i}" for i in range(len(spec.data))) + "".join(f", NULL AS {quote(c)}" for c in spec.data)
    return {
        "truncates": truncates(spec),
        "said": f"""SELECT {event}, 1 AS __new, 0 AS __memory, 0 AS __table FROM batch WHERE __op <> 't'
          UNION ALL SELECT {event}, 0 AS __new, 1 AS __memory, 0 AS __table FROM remembered WHERE __op <> 't'
          UNION ALL SELECT {row}, 0 AS __new, 0 AS __memory, 1 AS __table FROM stored""",
        "marked": f"SELECT *, CASE WHEN __op = 'd' THEN 2 ELSE 1 END AS __rank{flags} FROM said",
        "flat": f"""SELECT {keys}, {sequence}, __rank, __new, __memory, __table, {UNAVAILABLE}{", " + has if has else ""}{masked} FROM marked
          UNION ALL SELECT {listed("k.{0}", spec.keys)}, {listed("t.{0}", spec.sequence)}, 3 AS __rank, 0 AS __new, 1 AS __memory, 0 AS __table,
            NULL AS {UNAVAILABLE}{nothing} FROM (SELECT DISTINCT {keys} FROM said) k CROSS JOIN truncates t""",
        "distinct_facts": f"""SELECT {keys}, {sequence}, __rank, {content + "," if content else ""} MAX({UNAVAILABLE}) AS {UNAVAILABLE},
          MAX(__memory) AS __in_memory, MAX(__table) AS __in_table, CAST(SUM(__new) AS BIGINT) AS __read
          FROM flat GROUP BY {keys}, {sequence}, __rank{", " + content if content else ""}""",
        "known_facts": f"""SELECT *, CASE WHEN __in_memory = 1 THEN 1
            WHEN MAX(CASE WHEN __rank = 1 THEN __in_memory ELSE 0 END) OVER (PARTITION BY {listed("{0}", shadowed_by)}) = 1 THEN 0
            ELSE __in_table END AS __known,
            SUM(__in_table) OVER (PARTITION BY {keys}, {sequence}) - __in_table AS __rivals FROM distinct_facts""",
        "facts": "SELECT * FROM known_facts WHERE __known = 1 OR __read > 0",
    }


def complete(spec: MergeSpec, found: str) -> str:
    """A condition to be added: every column that must have a value has found one, `found` telling where."""
    return "".join(f" AND {found}_{i} IS NOT NULL" for i, c in enumerate(spec.data) if c not in spec.optional)


def is_unavailable(column: str) -> str:
    """The condition that an event leaves out a column's value."""
    return f"COALESCE(CONTAINS({UNAVAILABLE}, {literal(SEPARATOR + column + SEPARATOR)}), FALSE)"


def _has(column: str) -> str:
    return f"(__op <> 'd' AND NOT {is_unavailable(column)})"


def changes(result: str, of: Iterable[str], at: tuple[str, ...], rest: Iterable[str]) -> tuple[str, str]:
    """What makes the stored rows `result`, a step of that name: rows that are new or differ, and keys whose rows go.

    Compared with the stored rows, not with what the batch brought, so that a batch done again after a crash does no harm.
    """
    on, differs = same_place("r", "t", at), listed("r.{0} IS DISTINCT FROM t.{0}", rest, " OR ")
    upserts = f"{result} SELECT {listed('r.{0}', of)} FROM result r LEFT JOIN stored t ON {on} WHERE t.{quote(at[0])} IS NULL OR {differs}"
    return upserts, f"{result} SELECT {listed('t.{0}', at)} FROM stored t ANTI JOIN result r ON {on}"


def counts(outcome: str, truncate: str, spec: MergeSpec) -> str:
    """Each distinct event of the batch has one outcome; a fact that was known says nothing new; further copies are duplicates."""
    said = ("applied", "superseded", "quarantined")
    sums = ", ".join(f"CAST(COALESCE(SUM(CASE WHEN __known = 0 AND __is = '{o}' THEN 1 ELSE 0 END), 0) AS BIGINT) AS {o}" for o in said)
    return steps(
        f"""SELECT CAST(COALESCE(SUM(__read), 0) AS BIGINT) AS read, {sums},
          CAST(COALESCE(SUM(__known), 0) AS BIGINT) AS unchanged, CAST(COALESCE(SUM(__read - 1), 0) AS BIGINT) AS duplicate FROM outcomes WHERE __read > 0""",
        truncates=truncates(spec),
        outcomes=f"""SELECT __known, __read, CASE {outcome} END AS __is FROM settled WHERE __rank < 3
          UNION ALL SELECT __known, __read, CASE {truncate} END AS __is FROM truncates""",
    )
