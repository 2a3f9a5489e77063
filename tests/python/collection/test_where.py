"""Conditions: what SQL selects is what a reader of the documentation would."""

import operator
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magnetite.index import Collection, Document

SCALARS = [
    *(None, True, False, 0, 1, 2, -1, 0.0, -0.0, 0.5, 1.0, 2.5, 1e300),
    *(2**53, 2**53 + 1, -(2**63)),
    *("", "a", "b", "ab", "1", "é", "\ud800", "a\x00b", "\U0001f9f2", "' OR 1=1 --"),
]
FIELDS = ["n", "t", "m n", 'x"; DROP TABLE documents; --', "a.b", "é\udfff"]


def some_metadata(rng):
    values = [lambda: rng.choice(SCALARS), lambda: rng.choices(SCALARS, k=rng.randrange(4))]
    values += [lambda: {"nested": 1}, lambda: [[1], "a"]]
    picks = [rng.choices(values, weights=[6, 3, 1, 1])[0] for _ in FIELDS]
    return {name: pick() for name, pick in zip(FIELDS, picks, strict=True) if rng.random() < 0.6}


@pytest.fixture(scope="module")
def many(tmp_path_factory, encoder):
    """400 documents, a third of them changed since, a tenth deleted; not to be changed."""
    rng = random.Random(5)
    collection = Collection.create(tmp_path_factory.mktemp("where") / "here", encoder, threads=1)
    twin = {}
    for names in (range(400), rng.sample(range(400), 130)):
        some = [Document(f"d{i}", "text", metadata=some_metadata(rng)) for i in names]
        collection.upsert(some)
        twin |= {one.id: one for one in some}
    gone = rng.sample(list(twin), 40)
    assert collection.delete(gone) == 40
    yield collection, [one for name, one in twin.items() if name not in gone]
    collection.close()


# The slow twin


def kind(value):
    kinds = [(type(None), 0), (bool, 1), ((int, float), 2), (str, 3)]
    return next((number for types, number in kinds if isinstance(value, types)), None)


def seen(metadata, field):
    value = metadata.get(field, [])
    return [one for one in (value if isinstance(value, list) else [value]) if kind(one) is not None]


def meets(where, metadata):
    return all(_meets(name, wanted, metadata) for name, wanted in where.items())


def _meets(name, wanted, metadata):
    if name == "$and":
        return all(meets(one, metadata) for one in wanted)
    if name == "$or":
        return any(meets(one, metadata) for one in wanted)
    if name == "$not":
        return not meets(wanted, metadata)
    if not isinstance(wanted, dict):
        wanted = {"$eq": wanted}
    return all(_holds(metadata, name, op, value) for op, value in wanted.items())


def _holds(metadata, field, op, wanted):
    def is_equal(one, other):
        return kind(one) == kind(other) and one == other

    values = seen(metadata, field)
    match op:
        case "$eq":
            return any(is_equal(one, wanted) for one in values)
        case "$ne":
            return not _holds(metadata, field, "$eq", wanted)
        case "$in":
            return any(is_equal(one, other) for one in values for other in wanted)
        case "$nin":
            return not _holds(metadata, field, "$in", wanted)
        case "$contains":
            return isinstance(metadata.get(field), list) and _holds(metadata, field, "$eq", wanted)
        case "$exists":
            return (field in metadata) == wanted
        case "$not":
            return not all(_holds(metadata, field, op, value) for op, value in wanted.items())
    compare = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}
    return any(kind(one) == kind(wanted) and compare[op](one, wanted) for one in values)


fields, scalars = st.sampled_from(FIELDS), st.sampled_from(SCALARS)
ordered = st.sampled_from([one for one in SCALARS if kind(one) in (2, 3)])
plain = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$ne", "$contains"]), scalars),
    st.tuples(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), ordered),
    st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(scalars, max_size=4)),
    st.tuples(st.just("$exists"), st.booleans()),
)
operators = st.recursive(
    st.lists(plain, min_size=1, max_size=2).map(dict),
    lambda inner: inner.map(lambda one: {"$not": one}),
    max_leaves=2,
)
wheres = st.recursive(
    st.dictionaries(fields, st.one_of(scalars, operators), max_size=2),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["$and", "$or"]), st.lists(inner, min_size=1, max_size=3)),
        st.tuples(st.just("$not"), inner),
    ).map(lambda pair: {pair[0]: pair[1]}),
    max_leaves=5,
)


@given(wheres)
@settings(deadline=None, max_examples=200)
def test_conditions_select_what_the_naive_reader_selects(many, where):
    collection, documents = many
    wanted = {one.id for one in documents if meets(where, one.metadata)}
    assert collection.count(where) == len(wanted)
    found = collection.search("text", 400, where=where)
    assert {one.document.id for one in found} == wanted


@pytest.mark.parametrize("field", ["n", *FIELDS[3:4]])
@pytest.mark.parametrize("value", ["x' OR '1'='1", "'); DROP TABLE documents; --", '" OR ""="'])
def test_nothing_that_is_given_becomes_sql(many, field, value):
    collection, documents = many
    for where in ({field: value}, {field: {"$in": [value, value]}}, {value: {"$exists": True}}):
        assert collection.count(where) == 0
        assert collection.count({"$not": where}) == len(documents)


def test_kinds_are_never_equal(make):
    collection = make()
    values = {"none": None, "true": True, "one": 1, "text": "1", "half": 1.5}
    collection.add([Document(name, "x", metadata={"f": one}) for name, one in values.items()])
    for name, value in values.items():
        found = collection.search("x", where={"f": value})
        assert [one.document.id for one in found] == [name]
    assert collection.count({"f": {"$gte": 1}}) == 2
    assert collection.count({"f": {"$ne": 1}}) == 4


def test_many_values_and_deep_conditions(many):
    collection, _ = many
    assert collection.count({"n": {"$in": list(range(3, 20_000))}}) == 0
    with pytest.raises(ValueError, match="at most 30,000 values"):
        collection.count({"n": {"$in": list(range(40_000))}})
    where = {"n": {"$exists": True}}
    count = collection.count(where)
    wide = {"$and": [{"$or": [where, {"n": 1}, where]}] * 400}
    assert collection.count(wide) == collection.count({"$or": [where, {"n": 1}]})
    with pytest.raises(ValueError, match="at most 400 conditions"):
        collection.count({"$or": [where] * 401})
    for _ in range(8):
        where = {"$not": {"$or": [{"$not": {"$and": [where] * 2}}, {"t": "nowhere"}]}}
    assert collection.count(where) == count
    where = {"$not": where}
    with pytest.raises(ValueError, match="conditions deep"):
        collection.count(where)


@pytest.mark.parametrize(
    ("where", "error", "said"),
    [
        ([], TypeError, "must be a dict"),
        ("year > 3", TypeError, "must be a dict"),
        ({7: 1}, TypeError, "fields by str"),
        ({"$nor": [{}]}, ValueError, "no operator '\\$nor' here"),
        ({"$and": []}, ValueError, "one condition or more"),
        ({"$or": {"a": 1}}, ValueError, "one condition or more"),
        ({"$or": [3]}, TypeError, "must be a dict"),
        ({"$not": 3}, TypeError, "must be a dict"),
        ({"a": {}}, ValueError, "must have operators"),
        ({"a": {"$regex": "x"}}, ValueError, "no operator '\\$regex' for 'a'; there are \\$eq"),
        ({"a": {"b": 1}}, ValueError, "no operator 'b'"),
        ({"a": {7: 1}}, ValueError, "no operator 7"),
        ({"a": [1, 2]}, ValueError, "use \\$in or \\$contains"),
        ({"a": {"$in": "abc"}}, ValueError, "takes a list"),
        ({"a": {"$gt": None}}, ValueError, "takes a number or text"),
        ({"a": {"$gt": True}}, ValueError, "takes a number or text"),
        ({"a": {"$exists": 1}}, ValueError, "takes True or False"),
        ({"a": {"$not": 1}}, ValueError, "must have operators"),
        ({"a": float("nan")}, ValueError, "compared with numbers"),
        ({"a": 2**70}, ValueError, "64 bits"),
        ({"a": object()}, ValueError, "number, text, bool or None"),
    ],
)
def test_what_is_no_condition_is_named(many, where, error, said):
    with pytest.raises(error, match=said):
        many[0].count(where)
