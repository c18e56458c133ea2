"""SCD type 1 of whole rows with remembered deletes: what most batches need. What else there is, `scd1_general` knows.

A batch may be settled by these rules when it has no partial row and no truncate, and when neither has the memory of its keys.
"""

from __future__ import annotations

from dataclasses import dataclass

from penstock.schema import quote

from .facts import MergeSpec, listed, steps


@dataclass(frozen=True)
class WholeRowRules:
    """Queries, each over relations named before it.

    In: `batch` (canonical events), `located` (keys and sequence of the stored rows of the batch's keys), `remembered` (the memory of those keys,
    deletes alone). `settled` has every distinct fact with its place among its key's facts, 1 the newest, by keys and sequences alone; `upserts` and the rest
    are short queries over it.
    `tied`: keys of which an event has the sequence of the stored row, or of another event, so that content matters. Where there are any, `held` are their
    stored rows, `compared` their facts by content; `all_settled` and `all_upserts` take the place of `settled` and `upserts`.
    """

    settled: str
    tied: str
    upserts: str
    compared: str
    all_settled: str
    all_upserts: str
    deletes: str
    remember: str
    forget: str
    counts: str


def whole_row_rules(spec: MergeSpec) -> WholeRowRules:
    """The text of the rules for one table."""
    keys, sequence = listed("{0}", spec.keys), listed("{0}", spec.sequence)
    same_key = listed("a.{0} = b.{0}", spec.keys, " AND ")
    of_tied = listed("a.{0} = t.{0}", spec.keys, " AND ")
    settled = f"{keys}, {sequence}, __rank, __read, __recalled, __stored, __place"
    upserts = f"""SELECT {listed("b.{0}", spec.stored)} FROM batch b
      SEMI JOIN settled s ON {listed("b.{0} = s.{0}", (*spec.keys, *spec.sequence), " AND ")} AND s.__place = 1 AND s.__rank = 1 AND s.__stored = 0
      WHERE b.__op <> 'd'"""
    return WholeRowRules(
        settled=_settled(spec),
        tied=f"SELECT DISTINCT {keys} FROM settled WHERE __rank = 1 AND __read + __stored > 1",
        upserts=upserts,
        compared=steps(
            f"SELECT * FROM ({_compared(spec)}) settled_by_content",
            **{name: f"SELECT a.* FROM {name} a SEMI JOIN tied t ON {of_tied}" for name in ("batch", "remembered", "located")},
        ),
        all_settled=f"SELECT a.* FROM settled a ANTI JOIN tied t ON {of_tied} UNION ALL SELECT {settled} FROM compared",
        all_upserts=f"""SELECT a.* FROM ({upserts}) a ANTI JOIN tied t ON {of_tied}
          UNION ALL SELECT {listed("{0}", spec.stored)} FROM compared WHERE __place = 1 AND __rank = 1 AND __stored = 0""",
        deletes=f"SELECT {listed('a.{0}', spec.keys)} FROM settled a SEMI JOIN settled b ON {same_key} AND b.__place = 1 AND b.__rank = 2 WHERE a.__stored = 1",
        remember=f"""SELECT 'd' AS __op, {keys}, {sequence}{listed(", NULL AS {0}", spec.data, "")}, NULL AS __unavailable
          FROM settled WHERE __place = 1 AND __rank = 2 AND __recalled = 0""",
        # only the table as it was read may relieve the memory: what this batch writes could still be lost, and the batch be skipped
        forget=f"""SELECT {listed("a.{0}", spec.keys)} FROM settled a
          SEMI JOIN settled b ON {same_key} AND b.__stored = 1 AND b.__place < a.__place WHERE a.__recalled = 1""",
        counts="""SELECT CAST(COALESCE(SUM(__read), 0) AS BIGINT) AS read,
          CAST(COALESCE(SUM(CASE WHEN __read > 0 AND __stored + __recalled > 0 THEN 1 ELSE 0 END), 0) AS BIGINT) AS unchanged,
          CAST(COALESCE(SUM(CASE WHEN __read > 0 AND __stored + __recalled = 0 AND __place = 1 THEN 1 ELSE 0 END), 0) AS BIGINT) AS applied,
          CAST(COALESCE(SUM(CASE WHEN __read > 0 AND __stored + __recalled = 0 AND __place > 1 THEN 1 ELSE 0 END), 0) AS BIGINT) AS superseded,
          CAST(COALESCE(SUM(CASE WHEN __read > 0 THEN __read - 1 ELSE 0 END), 0) AS BIGINT) AS duplicate FROM settled""",
    )


def _settled(spec: MergeSpec) -> str:
    fact = listed("{0}", (*spec.keys, *spec.sequence))
    newest = ", ".join([listed("{0} DESC", spec.sequence), "__rank DESC"])
    return f"""SELECT *, ROW_NUMBER() OVER (PARTITION BY {listed("{0}", spec.keys)} ORDER BY {newest}) AS __place FROM (
      SELECT {fact}, __rank, CAST(SUM(__new) AS BIGINT) AS __read, MAX(__old_delete) AS __recalled, MAX(__old_row) AS __stored FROM (
        SELECT {fact}, CASE WHEN __op = 'd' THEN 2 ELSE 1 END AS __rank, 1 AS __new, 0 AS __old_delete, 0 AS __old_row FROM batch
        UNION ALL
        SELECT {fact}, 2 AS __rank, 0 AS __new, 1 AS __old_delete, 0 AS __old_row FROM remembered
        UNION ALL
        SELECT {fact}, 1 AS __rank, 0 AS __new, 0 AS __old_delete, 1 AS __old_row FROM located
      ) facts GROUP BY {fact}, __rank
    ) distinct_facts"""


def _compared(spec: MergeSpec) -> str:
    keys, data, sequence = (listed("{0}", names) for names in (spec.keys, spec.data, spec.sequence))
    fact = ", ".join(part for part in (keys, sequence, "__rank", data) if part)
    image = "".join(f", CASE WHEN __op = 'd' THEN NULL ELSE {quote(c)} END AS {quote(c)}" for c in spec.data)
    nothing = "".join(f", NULL AS {quote(c)}" for c in spec.data)
    row = "".join(f", h.{quote(c)}" for c in spec.data)
    newest = ", ".join([listed("{0} DESC", spec.sequence), "__rank DESC", *(f"{quote(c)} DESC NULLS LAST" for c in spec.data)])
    return f"""SELECT *, ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY {newest}) AS __place FROM (
      SELECT {fact}, CAST(SUM(__new) AS BIGINT) AS __read, MAX(__old_delete) AS __recalled, MAX(__old_row) AS __stored FROM (
        SELECT {keys}, {sequence}, CASE WHEN __op = 'd' THEN 2 ELSE 1 END AS __rank{image}, 1 AS __new, 0 AS __old_delete, 0 AS __old_row FROM batch
        UNION ALL
        SELECT {keys}, {sequence}, 2 AS __rank{nothing}, 0 AS __new, 1 AS __old_delete, 0 AS __old_row FROM remembered
        UNION ALL
        SELECT {listed("l.{0}", (*spec.keys, *spec.sequence))}, 1 AS __rank{row}, 0 AS __new, 0 AS __old_delete, 1 AS __old_row
        FROM located l LEFT JOIN held h ON {listed("l.{0} = h.{0}", spec.keys, " AND ")}
      ) facts GROUP BY {fact}
    ) distinct_facts"""
