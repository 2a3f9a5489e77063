"""Searches over HTTP are those of `Collection.search`; collections may be compared."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from magnetite import Collection


def hits_of(found):
    return [(one.document.id, one.score) for one in found]


@pytest.mark.parametrize(
    "asked",
    [
        {"k": 3},
        {"k": 100},
        {"k": 2, "where": {"kind": "nature"}},
        {"k": 4, "where": {"$or": [{"year": {"$lt": 1990}}, {"kind": "food"}]}},
        {"k": 4, "min_score": 0.2},
        {"k": 2, "target_recall": 0.8},
        {"where": {"kind": "nothing"}},
    ],
    ids=str,
)
def test_a_search_is_that_of_the_collection(searching, collections, asked):
    queries = ["what makes the tides?", "magnetic stone", ""]
    with Collection.open(collections[0], read_only=True) as collection:
        wanted = [hits_of(found) for found in collection.search(queries, **asked)]
    status, said = searching.post("/search", {"queries": queries} | asked)
    assert status == 200
    assert [answer["query"] for answer in said["results"]] == queries
    found = [[(hit["id"], hit["score"]) for hit in answer["hits"]] for answer in said["results"]]
    for some, others in zip(found, wanted, strict=True):
        assert [name for name, _ in some] == [name for name, _ in others]
        assert [score for _, score in some] == pytest.approx([score for _, score in others])


def test_a_hit_is_the_whole_document(searching):
    status, said = searching.post("/search", {"query": "bread", "k": 1})
    assert (status, said["collection"]) == (200, "one")
    [hit] = said["results"][0]["hits"]
    assert hit["id"] == "bread"
    assert hit["title"] == "Bread"
    assert hit["text"].startswith("Flour")
    assert hit["metadata"] == {"kind": "food", "year": 1987}


def test_each_collection_is_asked_by_the_encoder_that_filled_it(searching, collections):
    for folder in collections:
        with Collection.open(folder, read_only=True) as collection:
            wanted = hits_of(collection.search("the magnet", 3))
        asked = {"query": "the magnet", "k": 3, "collection": folder.name}
        _, said = searching.post("/search", asked)
        found = [(hit["id"], pytest.approx(hit["score"])) for hit in said["results"][0]["hits"]]
        assert wanted == found
    _, _, info = searching.call("GET", "/info")
    assert [one["name"] for one in info["collections"]] == ["one", "two"]
    assert {one["documents"] for one in info["collections"]} == {5}
    assert [one["model"] for one in info["collections"]] == ["built-in", "onnx"]
    assert info["serves"] == {"embeddings": True, "search": True, "rerank": True}


def test_a_running_server_sees_what_is_added(searching, collections):
    from magnetite import Document

    with Collection.open(collections[0]) as collection:
        collection.add([Document("new", "A text about zeppelins and airships.")])
        _, said = searching.post("/search", {"query": "zeppelins and airships", "k": 1})
        collection.delete(["new"])
    assert said["results"][0]["hits"][0]["id"] == "new"
    _, said = searching.post("/search", {"query": "zeppelins and airships", "k": 1})
    assert said["results"][0]["hits"][0]["id"] != "new"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 400, "either query or queries"),
        ({"query": "x", "queries": ["y"]}, 400, "either query or queries"),
        ({"queries": []}, 400, "queries"),
        ({"queries": ["x", 1]}, 400, "queries"),
        ({"query": "x", "k": 0}, 400, "k"),
        ({"query": "x", "k": 1001}, 400, "k"),
        ({"query": "x", "k": True}, 400, "k"),
        ({"queries": ["x"] * 11, "k": 1000}, 413, "an answer holds"),
        ({"query": "x", "collection": "three"}, 404, "there are ['one', 'two']"),
        ({"query": "x", "where": []}, 400, "where"),
        ({"query": "x", "where": {"year": {"$near": 1}}}, 400, "no operator '$near'"),
        ({"query": "x", "where": {"year": {"$gt": None}}}, 400, "takes a number or text"),
        (b'{"query": "x", "where": {"year": NaN}}', 400, "nan"),
        ({"query": "x", "where": {"year": 10**30}}, 400, "64 bits"),
        ({"query": "x", "where": {"'; DROP TABLE documents; --": "x"}}, 200, None),
        ({"query": "x", "target_recall": 1}, 400, "target_recall"),
        (b'{"query": "x", "min_score": Infinity}', 400, "min_score"),
        ({"query": "x", "filter": {}}, 400, "unknown field 'filter'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_search_is_refused(searching, body, status, said):
    got, answer = searching.post("/search", body)
    assert got == status
    assert said is None or said in answer["error"]["message"]
    assert searching.post("/search", {"query": "x"})[0] == 200


def test_searches_at_the_same_time_get_their_own_answers(searching):
    asked = ["tides", "bread", "magnet", "moon"] * 12
    with ThreadPoolExecutor(12) as pool:
        found = list(
            pool.map(lambda query: searching.post("/search", {"query": query, "k": 1}), asked)
        )
    first = {}
    for query, (status, said) in zip(asked, found, strict=True):
        assert status == 200
        [answer] = said["results"]
        assert answer["query"] == query
        assert first.setdefault(query, answer) == answer


def test_without_a_collection_a_search_says_how_to_have_one(server):
    status, said = server.post("/search", {"query": "x"})
    assert status == 404
    assert "magnetite serve ARTIFACT COLLECTION" in said["error"]["message"]


def test_two_encoders_or_two_names_at_once_are_refused(collections, golden):
    for words, said in [
        ([golden, golden], "one encoder at a time"),
        ([collections[0], collections[0]], "folder's name"),
    ]:
        command = [sys.executable, "-m", "magnetite.cli", "serve", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 2
        assert said in done.stderr


def test_the_answer_is_json_with_any_text(searching, collections):
    from magnetite import Document

    odd = 'a "quoted" \\ line\u2028 with \x00 and 🧲 </script>'
    with Collection.open(collections[0]) as collection:
        collection.add([Document("odd", odd)])
        _, said = searching.post("/search", {"query": odd, "k": 6})
        collection.delete(["odd"])
    assert odd in {hit["text"] for hit in said["results"][0]["hits"]}
    assert json.dumps(said)
