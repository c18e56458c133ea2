"""The types of expressions, as far as Redshift's results hang on them: decimals with their digits, integers, SUPER."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlglot import exp

_DECIMAL = re.compile(r"(?:numeric|decimal)\((\d+)\s*,\s*(\d+)\)", re.IGNORECASE)
_INTEGERS = {"smallint": 5, "integer": 10, "int": 10, "bigint": 19}
_TRANSPARENT = (exp.Paren, exp.Neg, exp.Abs, exp.Min, exp.Max, exp.Nullif, exp.AnyValue)
_MOST = 38


@dataclass(frozen=True)
class Digits:
    """A decimal's, or an integer's as a decimal: precision and scale."""

    precision: int
    scale: int
    is_integer: bool = False


def digits(kind: str) -> Digits | None:
    """Those of a type by its name; None for a type that is no exact number."""
    if found := _DECIMAL.fullmatch(kind):
        return Digits(int(found[1]), int(found[2]))
    return Digits(_INTEGERS[kind], 0, True) if kind in _INTEGERS else None


def quotient_scale(a: Digits, b: Digits) -> int:
    """The digits behind the point of a division of decimals."""
    scale = max(4, a.scale + b.precision - b.scale + 1)
    return min(scale, max(4, _MOST - (a.precision - a.scale + b.scale)))


def kind_of(node: exp.Expr | None, column: Callable[[exp.Column], str]) -> str:
    """The name of an expression's type, PostgreSQL's; empty where it is not known."""
    if isinstance(node, exp.Column):
        return column(node)
    if isinstance(node, exp.Literal):
        return _literal(node)
    if isinstance(node, exp.Cast | exp.TryCast):
        return _cast(node)
    if isinstance(node, exp.Count):
        return "bigint"
    if isinstance(node, exp.Sum | exp.Avg):
        return _summed(kind_of(node.this, column))
    if isinstance(node, _TRANSPARENT):
        return kind_of(node.this, column)
    if isinstance(node, exp.Coalesce):
        return _widest([kind_of(n, column) for n in (node.this, *node.expressions)])
    if isinstance(node, exp.Case):
        return _widest([kind_of(n, column) for n in (*(i.args["true"] for i in node.args["ifs"]), node.args.get("default")) if n is not None])
    if isinstance(node, exp.Add | exp.Sub | exp.Mul | exp.Div):
        return _computed(node, kind_of(node.this, column), kind_of(node.expression, column))
    return _told(node)


def _told(node: exp.Expr | None) -> str:
    """The type of a call of ours: what was divided, or taken out of SUPER."""
    if isinstance(node, exp.Anonymous):
        name = str(node.this).lower()
        if name == "rsi.quotient":
            return f"numeric({_MOST},{node.expressions[2].this})"
        if name in ("rsi.within", "json_parse", "split_to_array", "array_concat", "subarray", "array", "object"):
            return "jsonb"
    return "jsonb" if isinstance(node, exp.ParseJSON) else ""


def _literal(node: exp.Literal) -> str:
    if node.is_string:
        return "text"
    text = str(node.this)
    if "e" in text.lower():
        return ""
    whole, _, part = text.partition(".")
    if not part:
        return "integer" if abs(int(whole or 0)) < 2**31 else "bigint"
    return f"numeric({len(whole.lstrip('0')) + len(part)},{len(part)})"


def _cast(node: exp.Cast | exp.TryCast) -> str:
    kind = node.to
    if kind.is_type(exp.DType.DECIMAL):
        sizes = [int(str(p.this.this)) for p in kind.expressions]
        precision, scale = (*sizes, 0)[:2] if sizes else (18, 0)
        return f"numeric({precision},{scale})"
    names = {"SMALLINT": "smallint", "INT": "integer", "BIGINT": "bigint", "DOUBLE": "double precision", "FLOAT": "real", "SUPER": "jsonb", "VARCHAR": "text"}
    return names.get(kind.this.name if hasattr(kind.this, "name") else "", "")


def _summed(kind: str) -> str:
    found = digits(kind)
    if found is None:
        return kind
    return "bigint" if found.is_integer else f"numeric({_MOST},{found.scale})"


def _widest(kinds: Sequence[str]) -> str:
    known = [digits(k) for k in kinds if k]
    if not known or any(k is None for k in known) or len(known) < len([k for k in kinds if k]):
        return kinds[0] if kinds and len(set(kinds)) == 1 else ""
    found = [k for k in known if k]
    if all(k.is_integer for k in found):
        return max((k for k in kinds if k), key=lambda k: _INTEGERS.get(k, 0))
    scale = max(k.scale for k in found)
    return f"numeric({min(_MOST, max(k.precision - k.scale for k in found) + scale)},{scale})"


def _computed(node: exp.Binary, left: str, right: str) -> str:
    a, b = digits(left), digits(right)
    if a is None or b is None:
        return "double precision" if "double precision" in (left, right) else ""
    if a.is_integer and b.is_integer:
        return max(left, right, key=lambda k: _INTEGERS[k])
    if isinstance(node, exp.Mul):
        return f"numeric({min(_MOST, a.precision + b.precision + 1)},{a.scale + b.scale})"
    if isinstance(node, exp.Div):
        scale = quotient_scale(a, b)
        return f"numeric({min(_MOST, a.precision - a.scale + b.scale + scale)},{scale})"
    scale = max(a.scale, b.scale)
    return f"numeric({min(_MOST, max(a.precision - a.scale, b.precision - b.scale) + 1 + scale)},{scale})"
