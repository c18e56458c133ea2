"""CREATE PROCEDURE and CREATE FUNCTION: bodies are rewritten statement by statement, and handlers raise again as Redshift's do."""

from __future__ import annotations

from collections.abc import Callable

from penstock.infra.local.errors import NotLocalError, SqlError

from .expressions import Renderer, Settings
from .tokens import Token, arguments, closing, split, tokenize
from .types import rendered

Rewrite = Callable[[str], str]

_MODES = ("IN", "OUT", "INOUT")
_STATEMENTS = frozenset((
    "COPY", "UNLOAD", "EXECUTE", "TRUNCATE", "CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE", "MERGE", "SELECT", "WITH", "ANALYZE", "GRANT", "REVOKE",
    "REFRESH", "VACUUM", "SET", "LOCK", "CALL", "COMMIT", "ROLLBACK",
))  # fmt: skip
_ENDS_ITSELF = ("THEN", "ELSE", "LOOP", "BEGIN")
_RAISED = "IF rsi.raised_now(SQLSTATE, SQLERRM) THEN RAISE; END IF; RETURN; "
_OPENING = ("IF", "CASE", "LOOP")


def procedure(sql: str, settings: Settings, rewrite: Rewrite) -> str:
    """CREATE PROCEDURE; `rewrite` is asked for each statement of the body."""
    r = Renderer(sql, settings, in_body=True)
    opening = next(i for i in range(len(r.tokens)) if r.text(i) == "(")
    name = _head(r, opening)
    end = closing(r.tokens, opening)
    nonatomic = any(r.word(i) == "NONATOMIC" for i in range(end, len(r.tokens)))
    rest = [_body(t, Body(t.value, settings, rewrite, nonatomic)) if t.kind == "body" else t.text for t in r.tokens[end + 1 :] if t.word != "NONATOMIC"]
    return f"{name}({', '.join(_parameters(r, opening))}) {' '.join(rest)}"


def _head(r: Renderer, opening: int) -> str:
    """What stands before the parameters: words, and the name."""
    return "".join(f"{r.gap(i)}{r.name(i) if r.tokens[i].is_name else r.text(i)}" for i in range(opening)).strip()


def _body(token: Token, body: Body) -> str:
    tag = token.text[: token.text.index("$", 1) + 1]
    return f"{tag}{body.render()}{tag}"


def _parameters(r: Renderer, opening: int) -> list[str]:
    """Parameters; those that only give come last, with a default, since a caller does not name them."""
    taken, given = list[str](), list[str]()
    for first, last in arguments(r.tokens, opening):
        words = [r.word(i) for i in range(first, last)]
        mode = next((w for w in words[:2] if w in _MODES), "IN")
        named = [i for i in range(first, last) if r.word(i) not in _MODES]
        has_name = len(named) > 1 and (r.tokens[named[1]].is_name and r.text(named[1]) not in ("(",)) and r.word(named[0]) not in ("DOUBLE", "CHARACTER")
        name = f"{r.name(named[0])} " if has_name else ""
        kind, _ = rendered(r.tokens, named[1] if has_name else named[0], "expression")
        (given if mode == "OUT" else taken).append(f"INOUT {name}{kind} DEFAULT NULL" if mode == "OUT" else f"{mode} {name}{kind}")
    return [*taken, *given]


def function(sql: str, settings: Settings, rewrite: Rewrite) -> str:
    """CREATE FUNCTION in SQL; other languages are refused by name."""
    r = Renderer(sql, settings)
    words = [t.word for t in r.tokens]
    language = r.word(words.index("LANGUAGE") + 1) if "LANGUAGE" in words else ""
    if language != "SQL":
        raise NotLocalError(f"functions in {language.lower() or 'another language'}")
    opening = next(i for i in range(len(r.tokens)) if r.text(i) == "(")
    end = closing(r.tokens, opening)
    if r.word(end + 1) != "RETURNS":
        raise SqlError("42601", "CREATE FUNCTION needs RETURNS")
    kind, at = rendered(r.tokens, end + 2, "expression")
    rest = [f"$rs${rewrite(t.value)}$rs$" if t.kind == "body" else t.text for t in r.tokens[at:]]
    return f"{_head(r, opening)}({', '.join(_parameters(r, opening))}) RETURNS {kind} {' '.join(rest)}"


class Body:
    """The body of a procedure in plpgsql."""

    def __init__(self, text: str, settings: Settings, rewrite: Rewrite, nonatomic: bool) -> None:
        self.r = Renderer(text, settings, in_body=True)
        self._rewrite, self._nonatomic = rewrite, nonatomic
        self._handled = self._blocks_with_handlers()

    def render(self) -> str:
        """The body as PostgreSQL runs it. Raises NotLocalError where that cannot be as Redshift would."""
        parts, i, blocks = [], 0, list[int]()
        starts = True
        while i < len(self.r.tokens):
            word = self.r.word(i)
            parts.append(self.r.gap(i))
            if starts and word == "DECLARE":
                text, i = self._declared(i + 1)
                parts.append(f"DECLARE{text}")
                continue
            if starts and word in _STATEMENTS:
                text, i = self._statement(i, bool(set(blocks) & self._handled))
                parts.append(text)
                continue
            if starts and word == "BEGIN":
                blocks.append(i)
            if starts and word == "END" and self._ends_block(i) and blocks:
                parts.append("" if self._nonatomic or blocks.pop() not in self._handled else _RAISED)
            text, following = self.r.one(i)
            parts.append(text)
            starts = self._begins_next(i, starts)
            i = following
        return "".join(parts)

    def _begins_next(self, i: int, starts: bool) -> bool:
        """Whether a statement may begin behind the token at `i`."""
        if self.r.text(i) in (";", ">>") or self.r.word(i) in _ENDS_ITSELF:
            return True
        return starts and self.r.word(i) == "EXCEPTION" and False

    def _ends_block(self, i: int) -> bool:
        return self.r.word(i + 1) not in ("IF", "LOOP", "CASE")

    def _blocks_with_handlers(self) -> set[int]:
        """The indexes of each BEGIN whose block handles exceptions."""
        found, blocks, starts = set[int](), list[int](), True
        for i, token in enumerate(self.r.tokens):
            if starts and token.word == "BEGIN":
                blocks.append(i)
            elif starts and token.word == "EXCEPTION" and self.r.word(i + 1) == "WHEN" and blocks:
                found.add(blocks[-1])
            elif starts and token.word == "END" and self._ends_block(i) and blocks:
                blocks.pop()
            starts = token.text == ";" or token.word in _ENDS_ITSELF
        if found and self._nonatomic:
            raise NotLocalError("EXCEPTION in a NONATOMIC procedure")
        return found

    def _declared(self, first: int) -> tuple[str, int]:
        """(declarations, the index of BEGIN): types are Redshift's."""
        r = self.r
        last = next(i for i in range(first, len(r.tokens)) if r.word(i) == "BEGIN")
        found = []
        for a, b in split(r.tokens, first, last, ";"):
            at = a + 1 + (r.word(a + 1) == "CONSTANT")
            if r.word(at) in ("ALIAS", "CURSOR", "REFCURSOR"):
                found.append(r.render(a, b))
                continue
            kind, end = rendered(r.tokens, at, "expression")
            found.append(f"{r.render(a, at)} {kind}{' ' + r.render(end, b) if end < b else ''}")
        return "".join(f"\n  {f};" for f in found) + "\n", last

    def _statement(self, first: int, handled: bool) -> tuple[str, int]:
        """(the statement rewritten, the index of its semicolon)."""
        r = self.r
        last = next((i for i in range(first, len(r.tokens)) if r.text(i) == ";"), len(r.tokens))
        word, text = r.word(first), r.sql[r.tokens[first].start : r.tokens[last - 1].end]
        if word in ("COMMIT", "ROLLBACK", "TRUNCATE") and handled:
            raise NotLocalError(f"{word} in a block that handles exceptions")
        if word in ("COMMIT", "ROLLBACK"):
            return word, last
        if word == "EXECUTE":
            return self._dynamic(first, last), last
        if word == "SELECT" and "INTO" in (r.word(i) for i in range(first, last)) and not self._makes_table(first, last):
            return r.render(first, last), last
        if word == "CALL":
            return r.render(first, last), last
        new = self._rewrite(text)
        if word == "TRUNCATE" or (self._nonatomic and word != "SELECT"):
            new = f"{new}; COMMIT"
        return _quiet(new), last

    def _makes_table(self, first: int, last: int) -> bool:
        at = next(i for i in range(first, last) if self.r.word(i) == "INTO")
        return self.r.text(at + 1).startswith("#") or self.r.word(at + 1) in ("TEMP", "TEMPORARY", "TABLE")

    def _dynamic(self, first: int, last: int) -> str:
        """EXECUTE: the text is rewritten when it is known."""
        r = self.r
        end = next((i for i in range(first + 1, last) if r.word(i) in ("INTO", "USING")), last)
        rest = f" {r.render(end, last)}" if end < last else ""
        return f"EXECUTE rsi.rewritten({r.render(first + 1, end)}){rest}"


def _quiet(sql: str) -> str:
    """How a table is laid out is told beforehand: what stands in a body is not seen as it is written."""
    mark = next((sql[at:] for at in [sql.find("/*rs:")] if at >= 0), "")
    if not mark:
        return sql
    end = sql.index("*/", sql.index("/*rs:")) + 2
    return f"PERFORM set_config('rsi.layout', '{mark[: end - sql.index('/*rs:')]}', TRUE); {sql}"


def plain_tokens(sql: str) -> list[str]:
    """The tokens of a text, for comparing."""
    return [t.text for t in tokenize(sql)]
