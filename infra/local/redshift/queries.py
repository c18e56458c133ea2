"""Where the queries of a statement lie, and which of them need a tree."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from .catalog import Catalog
from .expressions import asks_catalog
from .tokens import Token, closing

_MARKS = ("QUALIFY", "PIVOT", "UNPIVOT", "EXCLUDE", "[")
_AFTER_FROM = ("WHERE", "GROUP", "ORDER", "LIMIT", "JOIN", "LEFT", "RIGHT", "INNER", "FULL", "CROSS", "ON", "UNION", "HAVING", "MINUS", "EXCEPT", "INTERSECT",
               "QUALIFY")  # fmt: skip
_OPENING = ("FROM", "JOIN", "INTO", "UPDATE", "USING")
_OTHER = ("SELECT", "WHERE", "GROUP", "ORDER", "HAVING", "ON", "SET", "QUALIFY", "LIMIT", "WHEN", "VALUES", "START", "CONNECT")
_ENDS = ("GROUP", "ORDER", "HAVING", "UNION", "INTERSECT", "EXCEPT", "MINUS", ";")


def ranges(tokens: Sequence[Token]) -> list[tuple[int, int]]:
    """(first, behind the last) token of each query that lies in no other one."""
    found, i = [], 0
    while i < len(tokens):
        if tokens[i].word in ("SELECT", "WITH") and _begins(tokens, i):
            inside = i > 0 and tokens[i - 1].text == "("
            last = closing(tokens, i - 1) if inside else next((k for k in range(i, len(tokens)) if tokens[k].text == ";"), len(tokens))
            found.append((i, last))
            i = last
        i += 1
    return found


def _begins(tokens: Sequence[Token], i: int) -> bool:
    """Whether SELECT or WITH begins a query: WITH TIME ZONE and WITH NO SCHEMA BINDING do not."""
    if tokens[i].word == "SELECT":
        return not (i and tokens[i - 1].word in ("GRANT", "REVOKE", ","))
    following = [t.word for t in tokens[i + 1 : i + 4]]
    return bool(following) and following[0] not in ("TIME", "NO", "GRANT", "ADMIN") and ("AS" in following or "(" in following)


def needs_tree(tokens: Sequence[Token], catalog: Catalog) -> bool:
    """Whether a query holds what tokens alone cannot make PostgreSQL's."""
    words = [t.word for t in tokens]
    if asks_catalog(tokens):
        return _repeats_alias(tokens) or _nameless(tokens)
    if any(w in _MARKS for w in words) or _top_or_tree(words) or _casts_to_super(words):
        return True
    if any(w == "/" for w in words) or _repeats_alias(tokens) or _nameless(tokens):
        return True
    return _names(tokens, catalog)


def _nameless(tokens: Sequence[Token]) -> bool:
    """Whether a query in FROM has no alias: PostgreSQL wants one."""
    for i, token in enumerate(tokens):
        if token.text == "(" and i and tokens[i - 1].word in ("FROM", "JOIN") and tokens[i + 1 : i + 2] and tokens[i + 1].word in ("SELECT", "WITH"):
            end = closing(tokens, i) + 1
            if end >= len(tokens) or not tokens[end].is_name or tokens[end].word in _AFTER_FROM:
                return True
    return False


def _top_or_tree(words: Sequence[str]) -> bool:
    pairs = set(pairwise(words))
    return bool(pairs & {("SELECT", "TOP"), ("CONNECT", "BY"), ("DISTINCT", "TOP")})


def _casts_to_super(words: Sequence[str]) -> bool:
    return ("::", "SUPER") in pairwise(words)


def _repeats_alias(tokens: Sequence[Token]) -> bool:
    """Whether an alias stands again in the same SELECT, before its groups and order."""
    depth, aliases = 0, dict[int, set[str]]()
    for i, token in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if token.word == "SELECT":
            aliases[depth] = set()
        elif token.word in _ENDS:
            aliases.pop(depth, None)
        elif token.is_name and i and tokens[i - 1].word == "AS" and depth in aliases:
            aliases[depth].add(token.name)
        elif _stands_alone(tokens, i) and any(token.name in aliases[d] for d in aliases if d <= depth):
            return True
    return False


def _stands_alone(tokens: Sequence[Token], i: int) -> bool:
    """Whether a token is a name that belongs to no other one and calls nothing."""
    return tokens[i].is_name and (not i or tokens[i - 1].text != ".") and not (i + 1 < len(tokens) and tokens[i + 1].text in (".", "("))


def _names(tokens: Sequence[Token], catalog: Catalog) -> bool:
    """Whether it names an external table, a view that binds late, or reads into a SUPER."""
    external = catalog.external_schemas
    bare = _sources(tokens)
    for i, token in enumerate(tokens):
        if not token.is_name or (i and tokens[i - 1].text == "."):
            continue
        if _dot(tokens, i + 1):
            second = tokens[i + 2].name if i + 2 < len(tokens) else ""
            if token.name in external or catalog.late_view(token.name, second) is not None:
                return True
            if _dot(tokens, i + 3) or (token.name not in bare and tokens[i - 1].word not in ("FROM", "JOIN", "INTO", "UPDATE", "TABLE", "USING")):
                return True
        elif catalog.late_view("", token.name) is not None:
            return True
    return False


def _sources(tokens: Sequence[Token]) -> set[str]:
    """Names of tables, and their aliases: what stands in a FROM and has no dot behind it."""
    found, clauses = set[str](), [""]
    for i, token in enumerate(tokens):
        if token.text == "(":
            clauses.append("")
        elif token.text == ")" and len(clauses) > 1:
            clauses.pop()
        elif token.word in _OPENING:
            clauses[-1] = "from"
        elif token.word in _OTHER:
            clauses[-1] = ""
        elif token.is_name and clauses[-1] == "from" and not _dot(tokens, i + 1):
            found.add(token.name)
    return found


def _dot(tokens: Sequence[Token], i: int) -> bool:
    return i < len(tokens) and tokens[i].text == "."
