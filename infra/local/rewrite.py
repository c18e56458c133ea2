"""Redshift's SQL into PostgreSQL's: by tokens, in place. What cannot be done here is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .errors import NotLocalError
from .tokens import Token, arguments, closing, replaced, tokenize

Edit = tuple[int, int, str]

_PARTS = frozenset(
    [
        "year",
        "years",
        "y",
        "yr",
        "yrs",
        "quarter",
        "quarters",
        "qtr",
        "qtrs",
        "month",
        "months",
        "mon",
        "mons",
        "week",
        "weeks",
        "w",
        "day",
        "days",
        "d",
        "hour",
        "hours",
        "hr",
        "hrs",
        "h",
        "minute",
        "minutes",
        "m",
        "min",
        "mins",
        "second",
        "seconds",
        "s",
        "sec",
        "secs",
        "millisecond",
        "milliseconds",
        "ms",
        "microsecond",
        "microseconds",
        "us",
    ]
)
_REFUSED_STARTS = {
    ("CREATE", "EXTERNAL"): "external schemas and tables", ("ALTER", "DATASHARE"): "data shares", ("CREATE", "DATASHARE"): "data shares",
    ("CREATE", "LIBRARY"): "Python libraries", ("CREATE", "MODEL"): "Redshift ML", ("ALTER", "EXTERNAL"): "external tables",
}  # fmt: skip
_REFUSED_WORDS = {
    "PIVOT": "PIVOT",
    "UNPIVOT": "UNPIVOT",
    "QUALIFY": "QUALIFY",
    "TOP": "SELECT TOP; write LIMIT",
    "PLPYTHONU": "Python functions",
    "APPEND": "ALTER TABLE APPEND",
}
_TYPES = {
    "SUPER": "jsonb",
    "NVARCHAR": "varchar",
    "NCHAR": "char",
    "BPCHAR": "char",
    "VARBYTE": "bytea",
    "HLLSKETCH": None,
    "GEOMETRY": None,
    "GEOGRAPHY": None,
}


def rewritten(sql: str) -> str:
    """One statement as PostgreSQL understands it. Raises NotLocalError for what it cannot be made into."""
    tokens = tokenize(sql)
    words = [t.word for t in tokens]
    _refuse(tokens, words)
    edits = [*_expressions(tokens), *(_table(tokens) if _is_create_table(words) else ()), *_bodies(tokens)]
    if words[:1] == ["VACUUM"]:
        return "SELECT 1 WHERE FALSE"
    return replaced(sql, _apart(edits))


def _apart(edits: Sequence[Edit]) -> list[Edit]:
    """Of overlapping edits the outermost, which already holds the inner ones' work."""
    kept: list[Edit] = []
    for edit in sorted(set(edits), key=lambda e: (e[0], -e[1])):
        if not kept or edit[0] >= kept[-1][1]:
            kept.append(edit)
    return kept


def _refuse(tokens: Sequence[Token], words: Sequence[str]) -> None:
    for (first, second), what in _REFUSED_STARTS.items():
        if words[:1] == [first] and second in words[1:4]:
            raise NotLocalError(what)
    for i, word in enumerate(words):
        before = tokens[i - 1].text if i else ""
        if (
            word in _REFUSED_WORDS
            and before not in (".", '"')
            and not (word == "TOP" and words[max(0, i - 1)] != "SELECT")
            and not (word == "APPEND" and words[:1] != ["ALTER"])
        ):
            raise NotLocalError(_REFUSED_WORDS[word])


def _is_create_table(words: Sequence[str]) -> bool:
    return words[:1] == ["CREATE"] and "TABLE" in words[1:4]


def _text(sql_tokens: Sequence[Token], first: int, last: int) -> str:
    """A run of tokens, rewritten, as text."""
    part = sql_tokens[first:last]
    text = " ".join(t.text for t in part)
    return replaced(text, _apart(_expressions(tokenize(text)))).replace(" . ", ".").replace(" ( ", "(").replace(" )", ")")


def _expressions(tokens: Sequence[Token]) -> list[Edit]:
    found: list[Edit] = []
    for i, token in enumerate(tokens):
        following = tokens[i + 1].text if i + 1 < len(tokens) else ""
        if token.kind == "quoted" and token.text != token.text.lower():
            found.append((token.start, token.end, token.text.lower()))
        elif token.text.startswith("#"):
            found.append((token.start, token.end, token.text[1:]))
        elif token.word in _FUNCTIONS and following == "(" and (edit := _FUNCTIONS[token.word](tokens, i)):
            found.append(edit)
        elif token.word == "SYSDATE" and following != "(":
            found.append((token.start, token.end, "rs.sysdate()"))
        elif token.word == "MINUS" and following.upper() in ("SELECT", "("):
            found.append((token.start, token.end, "EXCEPT"))
        elif token.word == "APPROXIMATE" and following.upper() == "COUNT":
            found.append((token.start, token.end, ""))
        elif token.word in _TYPES and i and tokens[i - 1].text != ".":
            found += _type(tokens, i)
        elif token.word == "VARCHAR" and following == "(" and tokens[i + 2].word == "MAX":
            found.append((tokens[i + 2].start, tokens[i + 2].end, "65535"))
    return found


def _type(tokens: Sequence[Token], i: int) -> list[Edit]:
    """A type's other name; a length that PostgreSQL's type does not take goes."""
    word, token = tokens[i].word, tokens[i]
    before = tokens[i - 1]
    if not (before.kind in ("word", "quoted") or before.text == "::"):
        return []
    new = _TYPES[word]
    if new is None:
        raise NotLocalError(f"the type {word}")
    sized = new == "bytea" and i + 1 < len(tokens) and tokens[i + 1].text == "("
    return [(token.start, tokens[closing(tokens, i + 1)].end if sized else token.end, new)]


def _date_part(tokens: Sequence[Token], i: int) -> Edit | None:
    """`DATEADD(day, …)`: the part of the date is a word in Redshift, a text for our function."""
    part = tokens[i + 2]
    if part.kind == "word" and part.text.lower() in _PARTS:
        return (part.start, part.end, f"'{part.text.lower()}'")
    return None


def _decode(tokens: Sequence[Token], i: int) -> Edit:
    found = [_text(tokens, a, b) for a, b in arguments(tokens, i + 1)]
    subject, rest = found[0], found[1:]
    pairs = "".join(f" WHEN {subject} IS NOT DISTINCT FROM {rest[j]} THEN {rest[j + 1]}" for j in range(0, len(rest) - 1, 2))
    other = f" ELSE {rest[-1]}" if len(rest) % 2 else ""
    return (tokens[i].start, tokens[closing(tokens, i + 1)].end, f"CASE{pairs}{other} END")


def _nvl2(tokens: Sequence[Token], i: int) -> Edit:
    subject, then, other = (_text(tokens, a, b) for a, b in arguments(tokens, i + 1))
    return (tokens[i].start, tokens[closing(tokens, i + 1)].end, f"CASE WHEN {subject} IS NOT NULL THEN {then} ELSE {other} END")


def _listagg(tokens: Sequence[Token], i: int) -> Edit:
    parts = arguments(tokens, i + 1)
    distinct = tokens[parts[0][0]].word == "DISTINCT"
    subject = _text(tokens, parts[0][0] + distinct, parts[0][1])
    between = _text(tokens, *parts[1]) if len(parts) > 1 else "''"
    end, order = closing(tokens, i + 1), ""
    if end + 3 < len(tokens) and [t.word for t in tokens[end + 1 : end + 3]] == ["WITHIN", "GROUP"]:
        last = closing(tokens, end + 3)
        order, end = " " + _text(tokens, end + 4, last), last
    return (tokens[i].start, tokens[end].end, f"string_agg({'DISTINCT ' if distinct else ''}CAST({subject} AS text), {between}{order})")


def _renamed(name: str) -> Callable[[Sequence[Token], int], Edit]:
    return lambda tokens, i: (tokens[i].start, tokens[i].end, name)


_FUNCTIONS: dict[str, Callable[[Sequence[Token], int], Edit | None]] = {
    "DATEADD": _date_part, "DATEDIFF": _date_part, "DATE_ADD": _date_part, "DATE_DIFF": _date_part,
    "DECODE": _decode, "NVL2": _nvl2, "LISTAGG": _listagg, "NVL": _renamed("coalesce"), "ISNULL": _renamed("coalesce"),
}  # fmt: skip


def _table(tokens: Sequence[Token]) -> list[Edit]:
    """CREATE TABLE: how data is laid out means nothing here, and keys are not enforced there either."""
    found: list[Edit] = []
    skipped = -1
    for i, token in enumerate(tokens):
        if i <= skipped:
            continue
        end = _clause_end(tokens, i)
        if end is not None:
            start = tokens[i - 1].start if tokens[i - 1].text == "," and _closes(tokens, end) else token.start
            found.append((start, tokens[end].end, " "))
            skipped = end
        elif token.word == "IDENTITY" and tokens[i + 1].text == "(":
            first, step = (tokens[a].text for a, _ in arguments(tokens, i + 1))
            given = tokens[i - 1].word == "AS"
            prefix = "" if given else "GENERATED BY DEFAULT AS "
            found.append((token.start, tokens[closing(tokens, i + 1)].end, f"{prefix}IDENTITY (START WITH {first} INCREMENT BY {step})"))
        elif i and token.word == "TABLE" and any(t.text.startswith("#") for t in tokens[i : i + 6]):
            found.append((token.start, token.start, "TEMPORARY "))
    return found


def _closes(tokens: Sequence[Token], end: int) -> bool:
    return tokens[end + 1].text in (",", ")") if end + 1 < len(tokens) else False


def _clause_end(tokens: Sequence[Token], i: int) -> int | None:
    """The last token of a clause to be left out that begins at `i`, or None where none does."""
    word, following = tokens[i].word, tokens[i + 1].word if i + 1 < len(tokens) else ""
    if word in ("DISTSTYLE", "ENCODE", "BACKUP"):
        return i + 1
    if word in ("DISTKEY", "SORTKEY"):
        return closing(tokens, i + 1) if following == "(" else i + 1 if following == "AUTO" else i
    if word in ("COMPOUND", "INTERLEAVED") and following == "SORTKEY":
        return closing(tokens, i + 2)
    if (word == "PRIMARY" and following == "KEY") or (word == "FOREIGN" and following == "KEY"):
        end = closing(tokens, i + 2) if i + 2 < len(tokens) and tokens[i + 2].text == "(" else i + 1
        return _references_end(tokens, end + 1) or end
    if word == "UNIQUE":
        return closing(tokens, i + 1) if following == "(" else i
    return _references_end(tokens, i)


def _references_end(tokens: Sequence[Token], i: int) -> int | None:
    if i >= len(tokens) or tokens[i].word != "REFERENCES":
        return None
    end = i + 1
    while end + 2 < len(tokens) and tokens[end + 1].text == ".":
        end += 2
    return closing(tokens, end + 1) if end + 1 < len(tokens) and tokens[end + 1].text == "(" else end


def _bodies(tokens: Sequence[Token]) -> list[Edit]:
    """Bodies of procedures, rewritten by the same rules; NONATOMIC is Redshift's own."""
    found = [(t.start, t.end, "") for t in tokens if t.word == "NONATOMIC"]
    for token in tokens:
        if token.kind != "body":
            continue
        tag = token.text[: token.text.index("$", 1) + 1]
        body = token.text[len(tag) : -len(tag)]
        inner = tokenize(body)
        for i, word in enumerate(t.word for t in inner):
            if word in ("COPY", "UNLOAD") and (i == 0 or inner[i - 1].text == ";" or inner[i - 1].word in ("BEGIN", "THEN", "ELSE", "LOOP")):
                raise NotLocalError(f"{word} inside a procedure")
        found.append((token.start, token.end, tag + replaced(body, _apart(_expressions(inner))) + tag))
    return found
