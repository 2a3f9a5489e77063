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

_COMPARE = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_OF_FIELDS = ("$eq", "$ne", *_COMPARE, "$in", "$nin", "$contains", "$exists", "$not")
_DEEPEST = 32
_MOST_JOINED = 400  # SQLite joins 500
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


def compiled(where: Where) -> tuple[str, list[Value]]:
    """Return a SELECT of the rows for which `where` holds, and its parameters.

    The rows come as one text, some perhaps twice: one by one they would cost four times as much.

    Raises:
        ValueError: An operator that there is not, or a value that it does not take.
        TypeError: `where` is not a dict of such.
    """
    query = _Query()
    found = query.all_of(where, 0)
    if len(query.values) > _MOST_VALUES:
        got = f"{len(query.values):,}"
        raise ValueError(f"where must have at most {_MOST_VALUES:,} values; got {got}")
    sets = ", ".join(query.sets)
    return f"WITH {sets} SELECT group_concat(row) FROM {found}", query.values


def marks(count: int) -> str:
    """Return so many places for parameters."""
    return ",".join("?" * count)


class _Query:
    """Sets of rows, each named and made of those before it: SQLite's parser cannot nest deeply."""

    def __init__(self) -> None:
        self.sets: list[str] = []
        self.values: list[Value] = []

    def _set(self, sql: str, values: Sequence[Value] = ()) -> str:
        self.sets.append(f"s{len(self.sets)} AS ({sql})")
        self.values.extend(values)
        return f"s{len(self.sets) - 1}"

    def all_of(self, where: object, depth: int) -> str:
        if not isinstance(where, Mapping):
            raise TypeError(f"where must be a dict of conditions; got {type(where).__name__}")
        if depth > _DEEPEST:
            raise ValueError(f"where must be at most {_DEEPEST} conditions deep")
        return self._joined([self._condition(*one, depth) for one in where.items()])

    def _condition(self, name: object, wanted: object, depth: int) -> str:
        if not isinstance(name, str):
            raise TypeError(f"where must name fields by str; got {type(name).__name__}")
        if name in ("$and", "$or"):
            if not isinstance(wanted, Sequence) or isinstance(wanted, str) or not wanted:
                said = f"{name} takes a list of one condition or more"
                raise ValueError(f"where: {said}; got {wanted!r}")
            several = [self.all_of(one, depth + 1) for one in wanted]
            return self._joined(several, "INTERSECT" if name == "$and" else "UNION")
        if name == "$not":
            return self._but(self.all_of(wanted, depth + 1))
        if name.startswith("$"):
            raise ValueError(f"where: no operator {name!r} here; there are $and, $or, $not")
        if isinstance(wanted, Mapping):
            return self._field(name, wanted, depth)
        return self._equal(name, [wanted])

    def _field(self, name: str, wanted: object, depth: int) -> str:
        if not isinstance(wanted, Mapping) or not wanted:
            raise ValueError(f"where: {name!r} must have operators; got {wanted!r}")
        if depth > _DEEPEST:
            raise ValueError(f"where must be at most {_DEEPEST} conditions deep")
        return self._joined([self._operator(name, *one, depth) for one in wanted.items()])

    def _operator(self, name: str, operator: object, wanted: object, depth: int) -> str:
        match operator:
            case "$eq":
                return self._equal(name, [wanted])
            case "$ne":
                return self._but(self._equal(name, [wanted]))
            case "$in":
                return self._equal(name, _listed(wanted, operator, name))
            case "$nin":
                return self._but(self._equal(name, _listed(wanted, operator, name)))
            case "$gt" | "$gte" | "$lt" | "$lte":
                kind, value = _ordered(wanted, operator, name)
                meets = f"kind = {kind} AND value {_COMPARE[operator]} ?"
                return self._set(f"{_FIELD} AND {meets}", [stored(name), value])
            case "$contains":
                a_list = f"kind = {SHAPE} AND value = {LIST}"
                lists = self._set(f"{_FIELD} AND {a_list}", [stored(name)])
                return self._joined([lists, self._equal(name, [wanted])])
            case "$exists":
                if not isinstance(wanted, bool):
                    said = f"$exists of {name!r} takes True or False"
                    raise ValueError(f"where: {said}; got {wanted!r}")
                there = self._set(_FIELD, [stored(name)])
                return there if wanted else self._but(there)
            case "$not":
                return self._but(self._field(name, wanted, depth + 1))
        there_are = ", ".join(_OF_FIELDS)
        raise ValueError(f"where: no operator {operator!r} for {name!r}; there are {there_are}")

    def _equal(self, name: str, wanted: Sequence[object]) -> str:
        """The rows whose field has one of the wanted values."""
        by_kind: dict[int, list[Value]] = {}
        for one in wanted:
            kind, value = _checked(one, name)
            by_kind.setdefault(kind, []).append(value)
        several = [
            self._set(
                f"{_FIELD} AND kind = {kind} AND value IN ({marks(len(values))})",
                [stored(name), *values],
            )
            for kind, values in by_kind.items()
        ]
        return self._joined(several, "UNION") if several else self._set(f"{_ALL} WHERE 0")

    def _joined(self, several: list[str], how: str = "INTERSECT") -> str:
        if len(several) > _MOST_JOINED:
            want = f"at most {_MOST_JOINED} conditions beside each other"
            raise ValueError(f"where must have {want}; got {len(several)}")
        if len(several) == 1:
            return several[0]
        parts = [f"SELECT row FROM {one}" for one in several]
        return self._set(f" {how} ".join(parts) or _ALL)

    def _but(self, found: str) -> str:
        return self._set(f"{_ALL} EXCEPT SELECT row FROM {found}")


def _listed(value: object, operator: str, name: str) -> Sequence[object]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f"where: {operator} of {name!r} takes a list; got {value!r}")
    return value


def _ordered(value: object, operator: str, name: str) -> tuple[int, Value]:
    kind, comparable = _checked(value, name)
    if kind not in (NUMBER, TEXT):
        said = f"{operator} of {name!r} takes a number or text"
        raise ValueError(f"where: {said}; got {value!r}")
    return kind, comparable


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
