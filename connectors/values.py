"""Values as files write them, into typed Arrow columns: whole columns at once, and the misfits found by halving.

One definition serves the fast case and the bad one: a column that does not convert is cut in two until the values that do not fit stand alone.
Nothing is rounded, cut short or guessed: what does not fit its declared type exactly is named.
"""

from __future__ import annotations

import math
from binascii import a2b_base64
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from penstock.connectors.nested import MISFIT, Array, of_objects
from penstock.schema import Column, Columns, DataType
from penstock.sources import lacks

Epoch = Literal["days", "ms", "us", "ns"]

ABSENT = msgspec.UNSET
_JSON = msgspec.json.Decoder(float_hook=Decimal)
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_WHOLE, _INFINITE = r"^[+-]?[0-9]+$", r"(?i)^[+-]?inf(inity)?$"
_DIGITS = r"^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,3})?$"
_LARGEST_EXPONENT = 999
_DAY_US = 86_400_000_000
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
_SHOWN = 200


@dataclass(frozen=True)
class Encoding:
    """How one column's values are written.

    `text`: every value is text (csv). `epoch`: what a number in a date or timestamp column counts from 1970; None where numbers are not allowed there.
    `decimal_scale`: text in a decimal column is base64 of the unscaled number with that scale; None where it is digits.
    `bits`: text in an integer column is base64 of its bytes, lowest first. `json`: text in a nested column is JSON. `parts`: of a nested column's fields,
    by name.
    """

    text: bool = False
    epoch: Epoch | None = None
    decimal_scale: int | None = None
    bits: bool = False
    json: bool = False
    parts: Mapping[str, Encoding] = field(default_factory=dict)


@dataclass(frozen=True)
class _Written:
    """Values of one column with the Python types found among them, NULLs aside, and the Arrow type they become."""

    values: Sequence[Any]
    found: set[type]
    type: Any
    encoding: Encoding

    @property
    def is_text(self) -> bool:
        return self.found == {str}

    def strings(self) -> Any:
        return pa.array(self.values, pa.string())

    def each(self, convert: Callable[[Any], Any]) -> list[Any]:
        return [None if v is None else convert(v) for v in self.values]

    def refused(self, allowed: str) -> ValueError:
        return ValueError(f"expected {allowed}, not {', '.join(sorted(t.__name__ for t in self.found))}")


def typed_rows(
    values: Sequence[Sequence[Any]], columns: Columns, encodings: Sequence[Encoding], may_lack: Callable[[Column], Container[int]] = lambda _: ()
) -> tuple[list[Array], dict[int, str]]:
    """Each column's values, typed, and a reason for each row (by index) that has a value its column cannot hold.

    `may_lack` gives the rows that may be without a required column (deletes). Where a row has a reason, its values mean nothing.
    """
    arrays: list[Array] = []
    reasons: dict[int, str] = {}
    for column, found, encoding in zip(columns, values, encodings, strict=True):
        array, misfits = typed(found, column, encoding)
        reasons = missing(array, column, may_lack(column)) | misfits | reasons
        arrays.append(array)
    return arrays, reasons


def missing(array: Array, column: Column, may_lack: Container[int] = ()) -> dict[int, str]:
    """A reason for each NULL of a required column, by index."""
    if not (column.required and array.null_count):
        return {}
    nulls: Array = pc.indices_nonzero(array.is_null())
    return {i: lacks(column) for i in nulls.to_pylist() if i not in may_lack}


def typed(values: Sequence[Any], column: Column, encoding: Encoding) -> tuple[Array, dict[int, str]]:
    """The values as the column's type; NULL and a reason, by index, for those that do not fit."""

    return halved(values, column, lambda part: _converted(part, column.type, encoding))


def _converted(values: Sequence[Any], kind: DataType, encoding: Encoding) -> Array:
    found = set(map(type, values)) - {type(None)}
    if not found:
        return _nulls(len(values), kind)
    if not kind.is_nested:
        return _CONVERTERS[kind.name](_Written(values, found, kind.arrow(), encoding))
    if encoding.json and found == {str}:
        values = [None if v is None else _decoded(v) for v in values]
    return of_objects(
        values,
        kind,
        lambda part, inside: _converted(inside, part.type, encoding.parts.get(part.name, Encoding())),
        lambda key, names: _converted(names, key.type, Encoding(text=True)),
    )


def _decoded(text: str) -> Any:
    try:
        return _JSON.decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from error


def halved(values: Sequence[Any], column: Column, convert: Callable[[Sequence[Any]], Array]) -> tuple[Array, dict[int, str]]:
    """`convert(values)`, or where it raises, the same of both halves; a value that does not convert alone is NULL, with the reason."""
    try:
        return convert(values), {}
    except MISFIT as error:
        if len(values) == 1:
            return _nulls(1, column.type), {0: _reason(column, values[0], error)}
    middle = len(values) // 2
    (left, below), (right, above) = (halved(part, column, convert) for part in (values[:middle], values[middle:]))
    return pa.concat_arrays([left, right]), below | {middle + i: reason for i, reason in above.items()}


def _nulls(count: int, kind: DataType) -> Array:
    return pa.array([None] * count, kind.arrow())


def _reason(column: Column, value: Any, error: Exception) -> str:
    if value is ABSENT:
        return f"column {column.name!r} is not in the event"
    shown = repr(value) if isinstance(value, str) else str(value)
    return f"column {column.name!r} is {column.type}, which cannot hold {shown[:_SHOWN]}{'…' if len(shown) > _SHOWN else ''} ({type(value).__name__}): {error}"


def _boolean(written: _Written) -> Array:
    if written.is_text and written.encoding.text:
        return written.strings().cast(written.type)
    if not written.found <= {bool, int}:
        raise written.refused("true or false")
    if not set(written.values) <= {None, 0, 1}:
        raise ValueError("a number that is neither 0 nor 1")
    return pa.array(written.each(bool), written.type)


def _integer(written: _Written) -> Array:
    if written.is_text and written.encoding.text:
        return _matching(written.strings(), _WHOLE, "a whole number").cast(written.type)
    if written.is_text and written.encoding.bits:
        return pa.array(written.each(lambda v: int.from_bytes(a2b_base64(v, strict_mode=True), "little")), written.type)
    if not written.found <= {int, Decimal}:
        raise written.refused("a whole number")
    return pa.array(written.values if written.found == {int} else written.each(_whole), written.type)


def _whole(value: int | Decimal) -> int:
    number = _bounded(value)
    if number != int(number):
        raise ValueError("it has digits after the point")
    return int(number)


def _bounded(value: int | Decimal) -> int | Decimal:
    """The value, unless its exponent is beyond all types: Arrow does not survive 1e-400000000."""
    if isinstance(value, Decimal) and abs(value.adjusted()) > _LARGEST_EXPONENT:
        raise OverflowError("its exponent is out of bounds")
    return value


def _floating(written: _Written) -> Array:
    if written.is_text and written.encoding.text:
        array = written.strings().cast(written.type)
        infinite = _count(pc.match_substring_regex(written.strings(), _INFINITE))
    elif written.found <= {float, int, Decimal, str}:
        array = pa.array(written.values if written.found == {float} else written.each(_float), written.type)
        infinite = sum(v in ("Infinity", "-Infinity") for v in written.values) if str in written.found else 0
    else:
        raise written.refused("a number")
    if _count(pc.is_inf(array)) != infinite:
        raise OverflowError("it is too large")
    return array


def _float(value: float | Decimal | str) -> float:
    if not isinstance(value, str):
        return float(value)
    if value not in _NON_FINITE:
        raise ValueError(f"expected a number or one of {', '.join(_NON_FINITE)}")
    return _NON_FINITE[value]


def _decimal(written: _Written) -> Array:
    scale = written.encoding.decimal_scale
    if written.is_text and scale is None:
        return _matching(written.strings(), _DIGITS, "a decimal").cast(written.type)
    if written.is_text:
        numbers = written.each(lambda v: _unscaled(v, scale))
    elif written.found == {dict}:
        numbers = written.each(lambda v: _unscaled(v["value"], int(v["scale"])))
    elif written.found <= {int, Decimal}:
        numbers = written.each(_bounded)
    else:
        raise written.refused("a decimal")
    return pa.array(numbers, written.type)


def _unscaled(text: str, scale: int | None) -> Decimal:
    """From base64 of the unscaled number, exactly: through text, for arithmetic would round to the context's digits."""
    if scale is None or abs(scale) > _LARGEST_EXPONENT:
        raise OverflowError("its scale is out of bounds")
    return Decimal(f"{int.from_bytes(a2b_base64(text, strict_mode=True), 'big', signed=True)}E{-scale}")


def _string(written: _Written) -> Array:
    if not written.is_text:
        raise written.refused("text")
    return written.strings()


def _binary(written: _Written) -> Array:
    if not written.is_text:
        raise written.refused("base64")
    return pa.array(written.each(lambda v: a2b_base64(v, strict_mode=True)), written.type)


def _date(written: _Written) -> Array:
    if written.found == {int} and written.encoding.epoch == "days":
        return _within(pa.array(written.values, pa.int32()), _FIRST_DAY, _LAST_DAY).cast(written.type)
    if not written.is_text:
        raise written.refused("a date, YYYY-MM-DD")
    return written.strings().cast(written.type)


def _timestamp(written: _Written) -> Array:
    unit = written.encoding.epoch
    if written.found == {int} and unit is not None and unit != "days":
        counted = pa.array(written.values, pa.int64()).cast(pa.timestamp(unit)).cast(pa.timestamp("us"))
        return _within(counted.cast(pa.int64()), _FIRST_DAY * _DAY_US, (_LAST_DAY + 1) * _DAY_US - 1).cast(written.type)
    if not written.is_text:
        raise written.refused("a timestamp, YYYY-MM-DDThh:mm:ss, with its zone if it is an instant")
    return written.strings().cast(written.type)


def _within(array: Any, first: int, last: int) -> Any:
    bounds: Any = pc.min_max(array)
    if bounds["min"].as_py() < first or bounds["max"].as_py() > last:
        raise OverflowError("it lies outside the years 0001 to 9999")
    return array


def _matching(array: Any, pattern: str, what: str) -> Any:
    if _count(pc.match_substring_regex(array, pattern)) != len(array) - array.null_count:
        raise ValueError(f"it is not {what}")
    return array


def _count(array: Any) -> int:
    return pc.sum(array).as_py() or 0


_CONVERTERS: Mapping[str, Callable[[_Written], Array]] = {
    "boolean": _boolean,
    "int": _integer,
    "bigint": _integer,
    "float": _floating,
    "double": _floating,
    "decimal": _decimal,
    "string": _string,
    "binary": _binary,
    "date": _date,
    "timestamp": _timestamp,
    "timestamp_ntz": _timestamp,
}
