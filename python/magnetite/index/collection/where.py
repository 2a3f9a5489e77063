"""Conditions on metadata: checked, then made into SQL whose every value is a parameter.

```
{"year": 2020}                              equal; one field, or several, all of which must hold
{"year": {"$gte": 2015, "$lt": 2020}}       $eq $ne $gt $gte $lt $lte
{"topic": {"$in": ["a", "b"]}}              $in $nin
{"tags": {"$contains": "x"}}                a list that has it
{"doi": {"$exists": True}}
{"$or": [{...}, {...}]}                     $and $or $not, of conditions
{"year": {"$not": {"$gt": 2020}}}           the same for one field
```

A condition on a field holds if its value meets it or, in a list, one of its elements. Numbers are
compared with numbers, text with text (by code points), bools with bools, None with None; of two
kinds neither is equal to, above or below the other. `$ne`, `$nin` and `$not` say that the condition
without them does not hold: so they hold where the field is missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from magnetite.index.collection.document import stored

#: Kinds of values, so that 1 is neither True nor "1". A list or an object leaves a `SHAPE` of its
#: own, and a list its elements too.
NULL, BOOL, NUMBER, TEXT, SHAPE = range(5)
OBJECT, LIST = range(2)

Value = int | float | bytes
Sql = tuple[str, list[Value]]

_COMPARE = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_OF_FIELDS = ("$eq", "$ne", *_COMPARE, "$in", "$nin", "$contains", "$exists", "$not")
_DEEPEST = 32
_MOST_VALUES = 30_000
_LARGEST = 2**63
_FIELD = "SELECT row FROM fields WHERE field = ?"
_ALL = "SELECT row FROM documents"

Where = Mapping[str, Any]


def fields_of(metadata: Mapping[str, Any]) -> Iterator[tuple[bytes, int, Value]]:
    """Yield what conditions see of the metadata, each once: field, kind, value."""
    for name, value in metadata.items():
        if isinstance(value, (list, tuple)):
            seen = {(SHAPE, LIST)} | {one for one in map(_scalar, value) if one is not None}
        else:
            seen = {_scalar(value) or (SHAPE, OBJECT)}
        yield from ((stored(name), kind, value) for kind, value in seen)


def compiled(where: Where) -> Sql:
    """Return a SELECT of the rows for which `where` holds, and its parameters.

    Raises:
        ValueError: An operator that there is not, or a value that it does not take.
        TypeError: `where` is not a dict of such.
    """
    sql, values = _all_of(where, 0)
    if len(values) > _MOST_VALUES:
        raise ValueError(f"where must have at most {_MOST_VALUES:,} values; got {len(values):,}")
    return sql, values


def _all_of(where: object, depth: int) -> Sql:
    if not isinstance(where, Mapping):
        raise TypeError(f"where must be a dict of conditions; got {type(where).__name__}")
    if depth > _DEEPEST:
        raise ValueError(f"where must be at most {_DEEPEST} conditions deep")
    return _joined([_condition(name, wanted, depth) for name, wanted in where.items()])


def _condition(name: object, wanted: object, depth: int) -> Sql:
    if not isinstance(name, str):
        raise TypeError(f"where must name fields by str; got {type(name).__name__}")
    if name in ("$and", "$or"):
        if not isinstance(wanted, Sequence) or isinstance(wanted, str) or not wanted:
            raise ValueError(f"where: {name} takes a list of one condition or more; got {wanted!r}")
        several = [_all_of(one, depth + 1) for one in wanted]
        return _joined(several, "INTERSECT" if name == "$and" else "UNION")
    if name == "$not":
        return _but(_all_of(wanted, depth + 1))
    if name.startswith("$"):
        raise ValueError(f"where: no operator {name!r} here; there are $and, $or, $not")
    return _of_field(stored(name), wanted, name, depth)


def _of_field(field: bytes, wanted: object, name: str, depth: int) -> Sql:
    if not isinstance(wanted, Mapping):
        return _equal(field, [wanted], name)
    if not wanted or depth > _DEEPEST:
        raise ValueError(f"where: {name!r} must have operators, not too deep; got {wanted!r}")
    return _joined([_operator(field, key, value, name, depth) for key, value in wanted.items()])


def _operator(field: bytes, operator: object, wanted: object, name: str, depth: int) -> Sql:
    match operator:
        case "$eq" | "$ne":
            found = _equal(field, [wanted], name)
            return found if operator == "$eq" else _but(found)
        case "$in" | "$nin":
            if not isinstance(wanted, Sequence) or isinstance(wanted, str):
                raise ValueError(f"where: {operator} of {name!r} takes a list; got {wanted!r}")
            found = _equal(field, wanted, name)
            return found if operator == "$in" else _but(found)
        case "$gt" | "$gte" | "$lt" | "$lte":
            kind, value = _checked(wanted, name)
            if kind not in (NUMBER, TEXT):
                said = f"{operator} of {name!r} takes a number or text"
                raise ValueError(f"where: {said}; got {wanted!r}")
            return f"{_FIELD} AND kind = {kind} AND value {_COMPARE[operator]} ?", [field, value]
        case "$contains":
            a_list: Sql = (f"{_FIELD} AND kind = {SHAPE} AND value = {LIST}", [field])
            return _joined([a_list, _equal(field, [wanted], name)])
        case "$exists":
            if not isinstance(wanted, bool):
                said = f"$exists of {name!r} takes True or False"
                raise ValueError(f"where: {said}; got {wanted!r}")
            there: Sql = (_FIELD, [field])
            return there if wanted else _but(there)
        case "$not":
            return _but(_of_field(field, wanted, name, depth + 1))
    there_are = ", ".join(_OF_FIELDS)
    raise ValueError(f"where: no operator {operator!r} for {name!r}; there are {there_are}")


def _equal(field: bytes, wanted: Sequence[object], name: str) -> Sql:
    """The rows whose field has one of the wanted values."""
    by_kind: dict[int, list[Value]] = {}
    for one in wanted:
        kind, value = _checked(one, name)
        by_kind.setdefault(kind, []).append(value)
    several = [
        (f"{_FIELD} AND kind = {kind} AND value IN ({marks(len(values))})", [field, *values])
        for kind, values in by_kind.items()
    ]
    return _joined(several, "UNION") if several else ("SELECT 0 AS row WHERE 0", [])


def marks(count: int) -> str:
    """Return so many places for parameters."""
    return ",".join("?" * count)


def _joined(several: list[Sql], how: str = "INTERSECT") -> Sql:
    if not several:
        return _ALL, []
    if len(several) == 1:
        return several[0]
    parts = [f"SELECT row FROM ({sql})" for sql, _ in several]
    return f" {how} ".join(parts), [value for _, values in several for value in values]


def _but(found: Sql) -> Sql:
    return f"{_ALL} EXCEPT SELECT row FROM ({found[0]})", found[1]


def _checked(value: object, name: str) -> tuple[int, Value]:
    scalar = _scalar(value)
    if scalar is None:
        remedy = "" if not isinstance(value, (list, tuple)) else "; use $in or $contains"
        said = f"where: {name!r} is compared with a number, text, bool or None"
        raise ValueError(f"{said}; got {value!r}{remedy}")
    if isinstance(value, float) and math.isnan(value):
        raise ValueError(f"where: {name!r} is compared with numbers; got {value!r}")
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        raise ValueError(f"where: {name!r} is compared with numbers of 64 bits; got {value!r}")
    return scalar


def _scalar(value: object) -> tuple[int, Value] | None:
    match value:
        case None:
            return NULL, 0
        case bool():
            return BOOL, int(value)
        case int() | float():
            return NUMBER, value
        case str():
            return TEXT, stored(value)
    return None
