"""Calls whose form PostgreSQL does not share: dates by parts, DECODE, LISTAGG, windows that ignore NULLs, casts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from penstock.infra.local.errors import NotLocalError, SqlError

from .tokens import arguments, closing, find
from .types import rendered

if TYPE_CHECKING:
    from .expressions import Renderer

Call = Callable[["Renderer", int], tuple[str, int]]


def _part(r: Renderer, i: int) -> str:
    """The part of a date as a text: Redshift takes a word or a text."""
    token = r.tokens[i]
    return f"'{(token.value if token.kind == 'text' else token.text).lower()}'"


def _dated(name: str) -> Call:
    """`DATEADD(day, …)`: the part is a text for our function."""

    def call(r: Renderer, i: int) -> tuple[str, int]:
        (part, _), *rest = arguments(r.tokens, i + 1)
        return f"rs.{name}({', '.join([_part(r, part), *(r.render(a, b) for a, b in rest)])})", r.end(i)

    return call


def _extract(r: Renderer, i: int) -> tuple[str, int]:
    at = find(r.tokens, ["FROM"], i + 2, r.end(i) - 1)
    if at < 0:
        raise SqlError("42601", "EXTRACT has the form EXTRACT(part FROM expression)")
    part = _part(r, i + 2)
    kind = "double precision" if part == "'epoch'" else "bigint"
    return f"floor(rs.date_part({part}, {r.render(at + 1, r.end(i) - 1)}))::{kind}", r.end(i)


def _decode(r: Renderer, i: int) -> tuple[str, int]:
    subject, *rest = r.arguments(i)
    if len(rest) < 2:
        raise SqlError("42601", "DECODE takes an expression, and at least one pair of search and result")
    pairs = "".join(f" WHEN {subject} IS NOT DISTINCT FROM {rest[j]} THEN {rest[j + 1]}" for j in range(0, len(rest) - 1, 2))
    other = f" ELSE {rest[-1]}" if len(rest) % 2 else ""
    return f"CASE{pairs}{other} END", r.end(i)


def _nvl2(r: Renderer, i: int) -> tuple[str, int]:
    subject, then, other = _exactly(r, i, 3)
    return f"CASE WHEN {subject} IS NOT NULL THEN {then} ELSE {other} END", r.end(i)


def _exactly(r: Renderer, i: int, count: int) -> list[str]:
    found = r.arguments(i)
    if len(found) != count:
        raise SqlError("42883", f"{r.tokens[i].text} takes {count} arguments, {len(found)} are given")
    return found


def _within_group(r: Renderer, i: int) -> tuple[str, int]:
    """(what WITHIN GROUP holds, the index behind) where it follows a call that ends at `i`."""
    if r.word(i) == "WITHIN" and r.word(i + 1) == "GROUP":
        last = closing(r.tokens, i + 2)
        return r.render(i + 3, last), last + 1
    return "", i


def _over(r: Renderer, i: int) -> tuple[str | None, int]:
    """(what OVER holds, the index behind) where it follows."""
    if r.word(i) != "OVER":
        return None, i
    if r.text(i + 1) != "(":
        raise SqlError("42601", "OVER takes a window in parentheses; Redshift has no named windows")
    last = closing(r.tokens, i + 1)
    return r.render(i + 2, last), last + 1


def _bare(r: Renderer, i: int) -> tuple[bool, list[str]]:
    """Whether DISTINCT leads the arguments, and the arguments without it."""
    parts = arguments(r.tokens, i + 1)
    lead = r.word(parts[0][0]) if parts else ""
    skip = lead in ("DISTINCT", "ALL")
    return lead == "DISTINCT", [r.render(a + (skip and n == 0), b) for n, (a, b) in enumerate(parts)]


def _listagg(r: Renderer, i: int) -> tuple[str, int]:
    distinct, (subject, *rest) = _bare(r, i)
    between = rest[0] if rest else "''"
    order, end = _within_group(r, r.end(i))
    over, end = _over(r, end)
    if over is not None:
        frame = f"{over} {order} ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING" if order else over
        return f"string_agg(({subject})::text, {between}) OVER ({frame})", end
    if distinct:
        down = " DESC" if order.upper().rstrip().endswith(" DESC") else ""
        return f"string_agg(DISTINCT ({subject})::text, {between} ORDER BY ({subject})::text{down})", end
    return f"string_agg(({subject})::text, {between}{' ' + order if order else ''})", end


def _percentile(r: Renderer, i: int) -> tuple[str, int]:
    (share,), name = r.arguments(i), r.tokens[i].word.lower()
    order, end = _within_group(r, r.end(i))
    over, end = _over(r, end)
    if over is None:
        return f"{name}({share}) WITHIN GROUP ({order})", end
    subject = order.split(None, 2)[2]
    down = subject.upper().endswith(" DESC")
    subject = subject[: -len(" desc")] if down else subject.removesuffix(" asc").removesuffix(" ASC")
    sign = "-" if down else ""
    return f"({sign}rsi.{name}({sign}({subject})::double precision, {share}) OVER ({over}))", end


def _median(r: Renderer, i: int) -> tuple[str, int]:
    _, (subject,) = _bare(r, i)
    over, end = _over(r, r.end(i))
    if over is None:
        return f"percentile_cont(0.5) WITHIN GROUP (ORDER BY {subject})", end
    return f"rsi.percentile_cont(({subject})::double precision, 0.5) OVER ({over})", end


def _avg(r: Renderer, i: int) -> tuple[str, int]:
    """The greatest value goes along to tell the type: the average of integers is an integer."""
    distinct, (subject,) = _bare(r, i)
    over, end = _over(r, r.end(i))
    window = "" if over is None else f" OVER ({over})"
    return f"rsi.averaged(avg({'DISTINCT ' if distinct else ''}{subject}){window}, max({subject}){window})", end


def _spread(r: Renderer, i: int) -> tuple[str, int]:
    """Deviations and variances are floating-point numbers of whatever they are taken."""
    distinct, (subject,) = _bare(r, i)
    return f"{r.tokens[i].text}({'DISTINCT ' if distinct else ''}({subject})::double precision)", r.end(i)


def _ratio_to_report(r: Renderer, i: int) -> tuple[str, int]:
    (subject,) = _exactly(r, i, 1)
    over, end = _over(r, r.end(i))
    return f"(({subject})::double precision / NULLIF(sum(({subject})::double precision) OVER ({over or ''}), 0))", end


def _neighbour(r: Renderer, i: int) -> tuple[str, int]:
    """LAG, LEAD, FIRST_VALUE, LAST_VALUE, NTH_VALUE: IGNORE NULLS stands within the parenthesis or behind it."""
    name, close = r.tokens[i].word, closing(r.tokens, i + 1)
    inside = r.word(close - 1) == "NULLS" and r.word(close - 2) in ("IGNORE", "RESPECT")
    outside = r.word(close + 2) == "NULLS" and r.word(close + 1) in ("IGNORE", "RESPECT")
    ignored = "IGNORE" in (r.word(close - 2) if inside else "", r.word(close + 1) if outside else "")
    last = close - 2 if inside else close
    end = close + 3 if outside else close + 1
    parts = [r.render(max(a, i + 2), min(b, last)) for a, b in arguments(r.tokens, i + 1)]
    if not ignored:
        return f"{name}({', '.join(parts)})", end
    over, end = _over(r, end)
    if over is None:
        raise SqlError("42601", f"{name} needs OVER (…)")
    return _present(name, parts, over), end


def _present(name: str, parts: list[str], over: str) -> str:
    subject, rest = parts[0], parts[1:]
    if name in ("FIRST_VALUE", "LAST_VALUE"):
        return f"rsi.{'first' if name[0] == 'F' else 'last'}_present({subject}) OVER ({over})"
    values = f"array_agg({subject}) FILTER (WHERE {subject} IS NOT NULL)"
    if name == "NTH_VALUE":
        return f"({values} OVER ({over}))[{rest[0]}]"
    count, default = rest[0] if rest else "1", rest[1] if len(rest) > 1 else "NULL"
    if name == "LEAD":
        found = f"({values} OVER ({over} ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING))[{count}]"
    else:
        kept = f"{values} OVER ({over} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
        found = f"({kept})[cardinality({kept}) - {count} + 1]"
    return found if default == "NULL" else f"coalesce({found}, {default})"


def _cast(r: Renderer, i: int) -> tuple[str, int]:
    at = find(r.tokens, ["AS"], i + 2, r.end(i) - 1)
    if at < 0:
        raise SqlError("42601", f"{r.tokens[i].text} has the form {r.tokens[i].word}(expression AS type)")
    return _converted(r, i, r.render(i + 2, at), at + 1), r.end(i)


def _convert(r: Renderer, i: int) -> tuple[str, int]:
    (kind, _), (first, last) = arguments(r.tokens, i + 1)
    return _converted(r, i, r.render(first, last), kind), r.end(i)


def _converted(r: Renderer, i: int, value: str, kind: int) -> str:
    name, _ = rendered(r.tokens, kind, "expression")
    if r.tokens[i].word == "TRY_CAST":
        return f"rs.try_cast(({value})::text, '{name}')::{name}"
    if name == "jsonb":
        return f"to_jsonb({value}{'::text' if r.tokens[i + 2].kind == 'text' and r.word(i + 3) == 'AS' else ''})"
    return f"CAST({value} AS {name})"


def _json_path(r: Renderer, i: int) -> tuple[str, int]:
    """The last argument may say that what cannot be read is NULL."""
    parts = r.arguments(i)
    if parts[-1].lower() in ("true", "false"):
        name = "rsi.json_path_text_or_null" if parts[-1].lower() == "true" else "rs.json_extract_path_text"
        return f"{name}({', '.join(parts[:-1])})", r.end(i)
    return f"rs.json_extract_path_text({', '.join(parts)})", r.end(i)


def _last_query(r: Renderer, i: int) -> tuple[str, int]:
    return f"{r.settings.last_query}::bigint", r.end(i)


def _refused(what: str) -> Call:
    def call(_r: Renderer, _i: int) -> tuple[str, int]:
        raise NotLocalError(what)

    return call


CALLS: Mapping[str, Call] = {
    "DATEADD": _dated("dateadd"), "DATEDIFF": _dated("datediff"), "DATE_PART": _dated("date_part"), "DATE_TRUNC": _dated("date_trunc"),
    "DATEPART": _dated("date_part"), "PGDATE_PART": _dated("date_part"), "EXTRACT": _extract, "DECODE": _decode, "NVL2": _nvl2, "LISTAGG": _listagg,
    "PERCENTILE_CONT": _percentile, "PERCENTILE_DISC": _percentile, "MEDIAN": _median, "AVG": _avg, "RATIO_TO_REPORT": _ratio_to_report,
    "LAG": _neighbour, "LEAD": _neighbour, "FIRST_VALUE": _neighbour, "LAST_VALUE": _neighbour, "NTH_VALUE": _neighbour,
    "CAST": _cast, "TRY_CAST": _cast, "CONVERT": _convert, "JSON_EXTRACT_PATH_TEXT": _json_path, "PG_LAST_QUERY_ID": _last_query,
    **dict.fromkeys(("STDDEV", "STDDEV_SAMP", "STDDEV_POP", "VARIANCE", "VAR_SAMP", "VAR_POP"), _spread),
    "FARMFINGERPRINT64": _refused("FARMFINGERPRINT64"), "CHECKSUM": _refused("CHECKSUM"), "OBJECT_TRANSFORM": _refused("OBJECT_TRANSFORM"),
    "MURMUR3_32_HASH": _refused("MURMUR3_32_HASH"),
}  # fmt: skip
