"""`CurIndex.build`: a scorer to an index."""

import numpy as np
import pytest

from magnetite.index.cur import CurIndex, ScorerError, ways
from magnetite.index.cur.factorize import Belief

DIM = 8
WORDS = ["iron", "copper", "field", "pole", "coil", "rust", "north", "south"]


def vector(text):
    """How often each word occurs, weighted; what the encoder sees."""
    return [text.split().count(word) for word in WORDS]


class Encoder:
    fingerprint = "words"

    def encode(self, texts):
        return np.array([vector(text) for text in texts], np.float32)


def judge(query, items):
    """Likes shared words, and rust for iron, of which the encoder knows nothing."""
    return [
        float(np.dot(vector(query), vector(item)))
        + 2.0 * (("iron" in query) and ("rust" in item))
        + 0.001 * (len(item) % 7)
        for item in items
    ]


def texts(count, seed):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 3)) + f" {seed}.{i}" for i in range(count)]


build = CurIndex.build
ITEMS, QUERIES, ASKED = texts(150, 1), texts(40, 2), texts(12, 3)
METHODS = ("corrected", "adacur", "axn", "mf_trns")


def found(index, **given):
    """The mean part of the judge's ten best that a search of 30 calls finds."""
    hits = index.search(ASKED, 10, 30, score=judge, show_progress=False, **given)
    parts = []
    for query, ids in zip(ASKED, hits.ids, strict=True):
        scores = np.array(judge(query, ITEMS))
        kth = np.sort(scores)[-10]
        parts.append(float((scores[ids.astype(int)] >= kth).mean()))
    return float(np.mean(parts))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_what_the_judge_likes(method):
    encoder = Encoder()
    index = build(judge, ITEMS, QUERIES, method=method, encoder=encoder, show_progress=False)
    assert len(index) == 150
    assert index.about.method == method
    given = {} if method == "adacur" else {"vectors": encoder.encode(ASKED)}
    assert found(index, **given) > 0.6  # a fifth at random


def test_a_fifth_of_the_calls_go_to_what_the_encoder_likes_best():
    """The correction may bury the very best item; the encoder is heard first, whatever it says."""
    encoder, asked = Encoder(), []
    index = build(judge, ITEMS, QUERIES, encoder=encoder, show_progress=False)

    def heard(query, items):
        asked.append((query, list(items)))
        return judge(query, items)

    vectors = encoder.encode(ASKED)
    for some in (np.arange(150), np.arange(0, 150, 2)):
        asked.clear()
        index.search(ASKED, 10, 50, score=heard, vectors=vectors, filter=some, show_progress=False)
        there = [ITEMS[place] for place in some]
        for query, one in zip(ASKED, vectors, strict=True):
            first = next(items for name, items in asked if name == query)
            dots = encoder.encode(there) @ one
            assert len(first) == 10
            assert min(dots[there.index(item)] for item in first) >= np.sort(dots)[-10] - 1e-4


def test_the_default_works_without_an_encoder():
    index = build(judge, ITEMS, QUERIES, show_progress=False)
    assert found(index) > 0.8


def test_adapters_are_built_too(one_thread):
    encoder = Encoder()
    index = build(
        judge, ITEMS, QUERIES, method="mf_ind", encoder=encoder, per_item=4, show_progress=False
    )
    assert found(index, vectors=encoder.encode(ASKED)) > 0.4


def test_an_index_with_an_encoder_asks_for_vectors():
    index = build(judge, ITEMS, QUERIES, encoder=Encoder(), show_progress=False)
    assert index.about.encoder == "words"
    with pytest.raises(ValueError, match="give vectors="):
        index.search(ASKED, 10, 30, score=judge, show_progress=False)


def test_a_budget_of_calls_is_kept_to_the_call():
    calls = []

    def counted(query, items):
        calls.extend(items)
        return judge(query, items)

    build(counted, ITEMS, QUERIES, calls=1_000, show_progress=False)
    assert len(calls) == 900  # six queries of 150 items


def test_settings_are_chosen_for_a_budget_and_again_without_a_call(tmp_path, monkeypatch):
    noisy = ways.Corrected(belief=Belief(noise=3.0))
    monkeypatch.setattr(ways, "corrected", lambda budget, anchors: [noisy])
    given = {"encoder": Encoder(), "checkpoint": tmp_path / "scores", "show_progress": False}
    plain = build(judge, ITEMS, QUERIES, **given)

    def retired(query, items):
        raise AssertionError("everything was paid for")

    index = build(retired, ITEMS, QUERIES, budget=30, **given)
    ratio = index.about.settings["noise"] / plain.about.settings["noise"]
    assert ratio == pytest.approx(3.0 / Belief().noise)


def test_an_index_is_kept_and_takes_new_items(tmp_path):
    encoder = Encoder()
    index = build(
        judge, ITEMS[:140], QUERIES, encoder=encoder, path=tmp_path / "index", show_progress=False
    )
    index.add(
        ITEMS[140:], range(140, 150), score=judge, vectors=encoder.encode(ITEMS[140:]),
        show_progress=False,
    )  # fmt: skip
    index.close()
    again = CurIndex.open(tmp_path / "index")
    assert found(again, vectors=encoder.encode(ASKED)) > 0.6


def test_a_build_that_failed_goes_on_from_its_checkpoint(tmp_path):
    left = [10]
    paid = []

    def failing(query, items):
        left[0] -= 1
        if left[0] == 0:
            raise RuntimeError("gone")
        paid.extend((query, item) for item in items)
        return judge(query, items)

    given = {"checkpoint": tmp_path / "scores", "show_progress": False, "encoder": Encoder()}
    with pytest.raises(ScorerError, match=r"gone; .* of 6,000 scores are kept in"):
        build(failing, ITEMS, QUERIES, **given)
    index = build(failing, ITEMS, QUERIES, **given)
    assert len(paid) == len(set(paid)) == 6_000
    whole = build(judge, ITEMS, QUERIES, encoder=Encoder(), show_progress=False)
    one, two = (
        each.search(
            ASKED, 10, 30, score=judge, vectors=Encoder().encode(ASKED), show_progress=False
        )
        for each in (index, whole)
    )
    np.testing.assert_array_equal(one.ids, two.ids)


BAD = {
    "method": ({"method": "magic"}, "method must be one of corrected"),
    "encoder": ({"method": "axn"}, "needs an encoder"),
    "dense": ({"per_query": 3}, "scores all items"),
    "budget": ({"calls": 149}, "one query costs 150 calls"),
    "vectors": ({"encoder": (np.ones((3, 2)), np.ones((150, 2)))}, "queries must have one vector"),
    "one query": ({"calls": 299}, r"learns from 2 queries at least; got 1; .* raise calls"),
    "tuning": ({"calls": 1_199, "budget": 9}, r"budget=9 learns from 8 queries at least; got 7"),
    "tuned": ({"method": "axn", "encoder": Encoder(), "budget": 9}, "leave budget out"),
    "ids": ({"ids": range(149)}, "ids"),
    "same ids": ({"ids": [0, *range(149)]}, "all different"),
    "storage": ({"storage": "f8"}, "storage"),
    "path": ({"path": "taken"}, "already holds something"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_build_without_what_it_needs_is_refused_before_a_call(name, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").touch()
    given, said = BAD[name]
    if "path" in given:
        given = given | {"path": tmp_path / given["path"]}

    def unasked(query, items):
        raise AssertionError("nothing is paid for")

    with pytest.raises((ValueError, FileExistsError), match=said):
        build(unasked, ITEMS, QUERIES, show_progress=False, **given)
