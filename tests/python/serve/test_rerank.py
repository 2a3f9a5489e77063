"""Ranks over HTTP are those of `CrossEncoder.rank`, in the shapes that rerank clients know."""

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from magnetite.encode import CrossEncoder

QUERY = "the magnet"
DOCUMENTS = ["iron", "the magnet of iron", "", "iron", "x" * 15, "ünïcode ж"]
WITHIN = 1e-6
"""What a score may differ by among other batch mates, of the largest; `predict` promises it."""


@pytest.fixture(scope="module")
def offline(cross):
    return CrossEncoder.load(cross, threads=1)


def scores_of(answer):
    """Return the scores in the order of the documents."""
    assert sorted(one["index"] for one in answer["results"]) == list(range(len(answer["results"])))
    return np.array(
        [one["relevance_score"] for one in sorted(answer["results"], key=lambda one: one["index"])]
    )


def close(found, wanted):
    return np.abs(found - wanted).max() <= WITHIN * max(1.0, np.abs(wanted).max())


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_the_best_come_first_with_the_scores_of_rank(searching, offline, path):
    status, said = searching.post(path, {"query": QUERY, "documents": DOCUMENTS})
    assert status == 200
    wanted = offline.rank(QUERY, DOCUMENTS, activation="sigmoid")
    assert [one["index"] for one in said["results"]] == [one["corpus_id"] for one in wanted]
    assert close(scores_of(said), offline.predict(pairs(DOCUMENTS), activation="sigmoid"))
    assert all(set(one) == {"index", "relevance_score"} for one in said["results"])
    assert said["model"] == "judge"
    tokens = len(offline.pairing.rows(pairs(DOCUMENTS))[0].ids)
    assert said["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}


def pairs(documents):
    return [(QUERY, text) for text in documents]


def test_the_model_s_own_numbers_can_be_had(searching, offline):
    asked = {"query": QUERY, "documents": DOCUMENTS, "raw_scores": True}
    _, said = searching.post("/rerank", asked)
    assert close(scores_of(said), offline.predict(pairs(DOCUMENTS)))
    assert np.abs(scores_of(said)).max() > 1  # no sigmoid


def test_the_best_few_with_their_documents_given_either_way(searching):
    _, whole = searching.post("/rerank", {"query": QUERY, "documents": DOCUMENTS})
    for documents in (DOCUMENTS, [{"text": text} for text in DOCUMENTS]):
        asked = {"query": QUERY, "documents": documents, "top_n": 2, "return_documents": True}
        status, said = searching.post("/rerank", asked)
        assert status == 200
        assert [one["index"] for one in said["results"]] == [
            one["index"] for one in whole["results"][:2]
        ]
        assert [one["document"] for one in said["results"]] == [
            {"text": DOCUMENTS[one["index"]]} for one in said["results"]
        ]


def test_requests_that_share_batches_get_their_own_scores(searching, offline):
    draw = random.Random(0)
    words = ["the", "magnet", "iron", "of"]

    def text():
        return " ".join(draw.choices(words, k=draw.choice([1, 3, 9])))

    asked = [
        {"query": text(), "documents": [text() for _ in range(count)], "raw_scores": True}
        for count in (1, 1, 300, 5, 1, 33) * 5
    ]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda body: searching.post("/rerank", body), asked))
    for body, (status, said) in zip(asked, answers, strict=True):
        assert status == 200
        assert close(scores_of(said), offline.score(body["query"], body["documents"]))


def test_pairs_that_are_cut_are_counted_or_refused(searching, offline):
    asked = {"query": QUERY, "documents": ["iron", "magnet " * 60], "raw_scores": True}
    status, headers, said = searching.call("POST", "/rerank", asked)
    assert (status, headers["magnetite-truncated"]) == (200, "1")
    assert close(scores_of(said), offline.score(QUERY, asked["documents"]))
    status, said = searching.post("/rerank", asked | {"truncate": False})
    assert (status, said["error"]["param"]) == (413, "truncate")
    assert "document 1 have more than 24 tokens" in said["error"]["message"]


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"documents": []}, 400, "documents"),
        ({"documents": "iron"}, 400, "documents"),
        ({"documents": [1]}, 400, "documents"),
        ({"documents": [{"text": "x", "title": "y"}]}, 400, "documents"),
        ({"documents": ["x"] * 2049}, 413, "documents"),
        ({"query": None}, 400, "query"),
        ({"top_n": 0}, 400, "top_n"),
        ({"top_k": 3}, 400, "top_k"),
        ({"model": "another"}, 404, "model"),
        ({"model": "judge"}, 200, None),
    ],
    ids=range(10),
)
def test_what_is_no_request_is_refused_by_name(searching, change, status, param):
    found, said = searching.post("/rerank", {"query": QUERY, "documents": ["iron"]} | change)
    assert found == status
    if param is not None:
        assert said["error"]["param"] == param


def test_more_tokens_than_the_server_holds_are_refused_by_name(serve, cross):
    server = serve(cross, "--max-tokens", "100")
    status, said = server.post("/rerank", {"query": QUERY, "documents": ["iron"] * 99})
    assert (status, said["error"]["param"]) == (413, "documents")
    assert said["error"]["code"] == "too_many_tokens"
    assert server.post("/rerank", {"query": QUERY, "documents": ["iron"]})[0] == 200
    assert server.post("/embed", {"inputs": "iron"})[0] == 200  # by the built-in encoder


def test_the_server_says_by_what_it_reranks(searching, offline):
    _, _, info = searching.call("GET", "/info")
    assert info["serves"]["rerank"] is True
    assert info["reranker"]["fingerprint"] == offline.fingerprint
    assert info["reranker"]["max_tokens"] == 24
    _, _, models = searching.call("GET", "/v1/models")
    assert [model["id"] for model in models["data"]] == ["built-in", "judge"]
    _, _, described = searching.call("GET", "/openapi.json")
    assert "/rerank" in described["paths"]
    searching.post("/rerank", {"query": QUERY, "documents": ["iron"]})
    _, _, metrics = searching.call("GET", "/metrics")
    counted = [line for line in metrics.decode().splitlines() if line.startswith("magnetite_pairs")]
    assert any(float(line.split()[1]) > 0 for line in counted)


def test_one_cross_encoder_with_a_name_of_its_own(cross, golden):
    for words, said in (
        ([cross, cross], "one cross-encoder at a time"),
        ([cross, golden, "--name", "judge"], "both called 'judge'"),
    ):
        command = [sys.executable, "-m", "magnetite.cli", "serve", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert said in done.stderr
