"""Text in, documents out: what a collection holds, finds and refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magnetite import FormatError
from magnetite.index import Changes, Collection, Document

IRON = Document("iron", "An iron oxide that attracts and repels.", "Magnetite", {"year": 2020})
BREAD = Document("bread", "Flour, water, salt and yeast, baked.", "Bread", {"tags": ["food"]})
MOON = Document("moon", "It pulls at the oceans, so tides follow it.")


@pytest.fixture
def three(make):
    collection = make()
    collection.add([IRON, BREAD, MOON])
    return collection


def test_search_returns_documents_best_first(three, encoder):
    found = three.search("magnetic mineral", 3)
    assert found[0].document == IRON
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    wanted = encoder.encode_query("magnetic mineral") @ encoder.encode_document(IRON.passage)
    assert found[0].score == pytest.approx(float(wanted), abs=1e-5)


def test_several_queries_give_several_lists_as_each_alone(three):
    queries = ["tides", "dough", "magnet"]
    assert three.search(queries, 2) == [three.search(query, 2) for query in queries]
    assert three.search([], 2) == []


def test_vectors_of_queries_find_what_the_queries_find(three, encoder):
    rows = encoder.encode_query(["tides", "dough"])
    assert three.search_vectors(rows, 2) == three.search(["tides", "dough"], 2)


def test_min_score_where_and_k_beyond_the_documents(three):
    assert len(three.search("salt", 50)) == 3
    best = three.search("salt", 3)
    assert three.search("salt", 3, min_score=best[1].score) == best[:2]
    assert [f.document.id for f in three.search("salt", 3, where={"year": 2020})] == ["iron"]
    assert three.search("salt", 3, where={"year": 1900}) == []
    assert len(three.search("salt", 3, where={})) == 3


def test_an_empty_collection_finds_nothing(make):
    collection = make()
    assert (len(collection), list(collection), collection.search("x")) == (0, [], [])
    assert collection.add([]) == Changes()
    assert collection.delete(["x"]) == 0
    collection.compact()
    assert Collection.verify(collection.path).documents == 0


def test_get_contains_count_ids_and_iteration(three):
    assert three.get(["moon", "nobody", "iron"]) == [MOON, None, IRON]
    assert "moon" in three
    assert "nobody" not in three
    assert 7 not in three
    assert list(three) == [IRON, BREAD, MOON]
    assert list(three.ids()) == ["iron", "bread", "moon"]
    assert (three.count(), three.count({"year": {"$exists": True}})) == (3, 1)


def test_upsert_encodes_only_text_that_changed(three, encoder, monkeypatch):
    seen = []
    whole = type(encoder).encode_document

    def encode(self, texts, **options):
        seen.extend(texts)
        return whole(self, texts, **options)

    monkeypatch.setattr(type(encoder), "encode_document", encode)
    before = three.search("ore", 3)
    later = Document("iron", IRON.text, IRON.title, {"year": 2021})
    assert three.upsert([later, BREAD, MOON]) == Changes(updated=1, unchanged=2)
    assert seen == []
    assert [one.score for one in three.search("ore", 3)] == [one.score for one in before]
    assert three.get(["iron"]) == [later]
    assert three.count({"year": 2020}) == 0
    changed = Document("moon", "A moon of another planet.")
    new = Document("sea", "Waves.")
    assert three.upsert([changed, new]) == Changes(added=1, updated=1, encoded=2)
    assert seen == [changed.passage, new.passage]
    assert three.upsert([changed, new, later]) == Changes(unchanged=3)


def test_add_refuses_what_is_there_and_what_comes_twice(three):
    with pytest.raises(ValueError, match=r"upsert replaces.*'moon'"):
        three.add([Document("new", "x"), MOON])
    assert "new" not in three
    with pytest.raises(ValueError, match="'new'"):
        three.add([Document("new", "x"), Document("new", "y")])
    assert three.get(["new"]) == [Document("new", "x")]  # what came before stays


def test_of_one_id_in_an_upsert_the_last_stays(make):
    collection = make()
    twice = [Document("a", "one"), Document("b", "two"), Document("a", "three")]
    assert collection.upsert(twice) == Changes(added=2, updated=1, encoded=3)
    assert collection.get(["a"]) == [Document("a", "three")]


def test_delete_by_ids_and_where(three):
    with pytest.raises(ValueError, match="ids or where"):
        three.delete()
    assert three.delete(["moon", "iron"], where={"year": 2020}) == 1
    assert list(three.ids()) == ["bread", "moon"]
    assert three.search("magnet", 3, where={"year": 2020}) == []
    assert three.delete(where={"tags": "food"}) == 1
    assert three.delete(["moon", "nobody"]) == 1
    assert len(three) == 0
    assert three.upsert([IRON]) == Changes(added=1, encoded=1)
    assert three.search("magnet")[0].document == IRON


def test_dicts_are_documents(make):
    collection = make()
    collection.add([{"id": "a", "text": "x"}, {"id": "b", "text": "y", "metadata": {"n": None}}])
    assert list(collection) == [Document("a", "x"), Document("b", "y", metadata={"n": None})]


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ("text", TypeError, "must be several"),
        ({"id": "a", "text": "x"}, TypeError, "must be several"),
        ([7], TypeError, "Document or dict"),
        ([{"text": "x"}], ValueError, "must have 'id'"),
        ([{"id": "a", "text": "x", "year": 3}], ValueError, "under 'metadata'"),
        ([{"id": 7, "text": "x"}], TypeError, "id must be a str; got int"),
        ([Document("a", b"x")], TypeError, "text must be a str; got bytes"),
        ([Document("a", "x", metadata=[1])], TypeError, "metadata must be a dict"),
        ([Document("a", "x", metadata={"n": float("nan")})], ValueError, "'n' must be finite"),
        ([Document("a", "x", metadata={"n": 2**63})], ValueError, "64 bits"),
        ([Document("a", "x", metadata={7: 1})], TypeError, "called by a str"),
        ([Document("a", "x", metadata={"n": np.int64(1)})], TypeError, "int64, which JSON has not"),
        ([Document("a", "x", metadata={"n": {"m": {1}}})], TypeError, "set, which JSON has not"),
    ],
)
def test_what_is_no_document_is_named(make, wrong, error, said):
    collection = make()
    with pytest.raises(error, match=said):
        collection.upsert(wrong)
    assert len(collection) == 0


def test_text_comes_back_as_it_was_whatever_it_holds(make):
    odd = "\ud800 \x00 \U0001f9f2 ﬁ\r\n\u2028 \udfff"
    document = Document(odd, odd * 3, odd, {odd: [odd, None, True, 1, 1.5, {"a": [odd]}]})
    collection = make()
    collection.add([document, Document("", "")])
    assert collection.get([odd, ""]) == [document, Document("", "")]
    assert list(collection.ids()) == [odd, ""]
    assert collection.search(odd, 1)[0].document in (document, Document("", ""))
    assert collection.count({odd: {"$contains": odd}}) == 1
    assert Collection.verify(collection.path).documents == 2


def test_a_huge_text_is_a_document(make):
    huge = Document("huge", "iron ore " * 500_000)
    collection = make()
    assert collection.add([huge, IRON]) == Changes(added=2, encoded=2)
    assert collection.get(["huge"]) == [huge]


def test_a_text_that_no_row_holds_is_named(make, monkeypatch):
    monkeypatch.setattr("magnetite.index.collection.document._LONGEST", 50)
    collection = make()
    with pytest.raises(ValueError, match="'long' must be shorter than 50 bytes"):
        collection.add([Document("short", "x"), Document("long", "x" * 50)])
    assert len(collection) == 0


def test_nested_metadata_is_kept(make):
    document = Document("a", "x", metadata={"by": {"name": "Ann"}, "none": [], "in": [[1], {}]})
    collection = make()
    collection.add([document])
    assert list(collection) == [document]
    assert collection.count({"by": {"$exists": True}}) == 1


# Opening


def test_what_was_written_is_there_when_opened_again(three, encoder):
    before = three.search("salt", 3)
    three.close()
    with Collection.open(three.path) as again:
        assert again.search("salt", 3) == before
        assert again.encoder.fingerprint == encoder.fingerprint
        again.upsert([Document("sea", "Salt water.")])
    with pytest.raises(ValueError, match="closed"):
        again.search("salt")


def test_create_refuses_what_is_there_and_open_what_is_not(three, tmp_path):
    with pytest.raises(FileExistsError, match="already holds a collection"):
        Collection.create(three.path)
    assert len(three) == 3
    with pytest.raises(FileNotFoundError):
        Collection.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(FormatError, match="not a collection"):
        Collection.open(tmp_path)


def test_read_only_refuses_changes(three):
    with Collection.open(three.path, read_only=True) as reader:
        assert len(reader.search("salt", 3)) == 3
        for change in (
            lambda: reader.upsert([IRON]),
            lambda: reader.delete(["iron"]),
            reader.compact,
        ):
            with pytest.raises(OSError, match="reading only"):
                change()


def test_a_foreign_encoder_is_refused(three, tiny_static_artifact):
    from magnetite.encode import Encoder

    other = Encoder.load(tiny_static_artifact)
    with pytest.raises(ValueError, match=r"encoder that filled it.*got.*or make a new collection"):
        Collection.open(three.path, other)


def test_an_encoder_is_found_where_it_was(tmp_path, tiny_static_artifact):
    import shutil

    from magnetite.encode import Encoder
    from magnetite.encode.encoder import BUILTIN

    place = shutil.copytree(tiny_static_artifact, tmp_path / "mine")
    with Collection.create(tmp_path / "here", Encoder.load(place)) as collection:
        collection.add([IRON])
    with Collection.open(tmp_path / "here") as collection:
        assert len(collection.search("magnet")) == 1
    place.rename(tmp_path / "moved")
    with Collection.open(tmp_path / "here") as collection:
        assert collection.get(["iron"]) == [IRON]  # needs none
        with pytest.raises(FileNotFoundError, match="--model"):
            collection.search("magnet")
    with Collection.open(tmp_path / "here", Encoder.load(tmp_path / "moved")) as collection:
        assert len(collection.search("magnet")) == 1
    shutil.copytree(BUILTIN, place)
    with (
        Collection.open(tmp_path / "here") as collection,
        pytest.raises(ValueError, match="filled"),
    ):
        collection.upsert([BREAD])


# Against a dict

ids = st.sampled_from([f"d{i}" for i in range(12)])
documents = st.builds(
    Document,
    ids,
    st.lists(st.sampled_from(["iron", "salt", "bread", "tide", "moon"]), max_size=4).map(" ".join),
    st.sampled_from(["", "Title"]),
    st.fixed_dictionaries({}, optional={"n": st.integers(0, 3), "t": st.lists(st.booleans())}),
)
operations = st.one_of(
    st.tuples(st.just("upsert"), st.lists(documents, max_size=6)),
    st.tuples(st.just("add"), st.lists(documents, max_size=2)),
    st.tuples(st.just("delete"), st.lists(ids, max_size=4)),
    st.tuples(st.just("where"), st.integers(0, 3)),
    st.tuples(st.sampled_from(["compact", "reopen"]), st.none()),
)


@given(st.lists(operations, max_size=12))
@settings(deadline=None, max_examples=40)
def test_any_history_leaves_what_a_dict_would_hold(tmp_path_factory, encoder, history):
    path = tmp_path_factory.mktemp("twin") / "here"
    collection, twin = Collection.create(path, encoder, threads=1), {}
    for operation, what in history:
        if operation == "upsert":
            done = collection.upsert(what)
            assert done.added + done.updated + done.unchanged == len(what)
            twin |= {one.id: one for one in what}
        elif operation == "add":
            if len({one.id for one in what} - set(twin)) < len(what):
                continue
            collection.add(what)
            twin |= {one.id: one for one in what}
        elif operation == "delete":
            assert collection.delete(what) == len(set(what) & set(twin))
            twin = {name: one for name, one in twin.items() if name not in what}
        elif operation == "where":
            gone = [name for name, one in twin.items() if one.metadata.get("n") == what]
            assert collection.delete(where={"n": what}) == len(gone)
            twin = {name: one for name, one in twin.items() if name not in gone}
        elif operation == "compact":
            collection.compact()
        else:
            collection.close()
            collection = Collection.open(path, encoder, threads=1)
        assert len(collection) == len(twin)
    assert {one.id: one for one in collection} == twin
    assert collection.get(list(twin)) == list(twin.values())
    query = encoder.encode_query("iron tide")
    wanted = {one.id: float(encoder.encode_document(one.passage) @ query) for one in twin.values()}
    found = {one.document.id: one.score for one in collection.search("iron tide", 20)}
    assert found == pytest.approx(wanted, abs=1e-5)
    collection.close()
    assert Collection.verify(path).documents == len(twin)
