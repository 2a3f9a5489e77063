"""Vectors over HTTP are those of `Encoder.encode`, in every shape that clients ask for."""

import base64
import itertools
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openai
import pytest

WITHIN = 1e-6
"""What a vector may differ by among other batch mates; `Encoder.encode` promises the same."""

TEXTS = [
    "the magnet",
    "iron of the magnet",
    "",
    "x",
    "a longer text " * 40,
    "naïve Ünïcode ж 的 🧲",
]


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as one:
        yield one


def near(found, wanted):
    return np.abs(np.asarray(found) - wanted).max() <= WITHIN


@pytest.mark.parametrize("form", ["float", "base64", None])
def test_the_openai_client_gets_what_encode_gives(client, offline, form):
    asked = {"encoding_format": form} if form else {}
    said = client.embeddings.create(model="golden", input=TEXTS, **asked)
    rows = [row.embedding for row in said.data]
    if form == "base64":
        rows = [np.frombuffer(base64.b64decode(row), "<f4") for row in rows]
    assert near(rows, offline.encode(TEXTS))
    assert [row.index for row in said.data] == list(range(len(TEXTS)))
    tokens = len(offline.tokenize(TEXTS).ids)
    assert (said.usage.prompt_tokens, said.usage.total_tokens) == (tokens, tokens)
    assert said.model == "golden"


def test_one_string_is_one_row(client, offline):
    [row] = client.embeddings.create(model="golden", input="iron").data
    assert near(row.embedding, offline.encode("iron"))


def test_ids_are_used_as_they_are(client, offline):
    tokens = offline.tokenize(TEXTS)
    lists = [tokens.ids[a:b].tolist() for a, b in itertools.pairwise(tokens.starts)]
    said = client.embeddings.create(model="golden", input=lists)
    assert near([row.embedding for row in said.data], offline.encode(TEXTS))
    [row] = client.embeddings.create(model="golden", input=lists[1]).data
    assert near(row.embedding, offline.encode(TEXTS[1]))


def test_requests_that_share_batches_get_their_own_vectors(server, offline):
    draw = random.Random(0)
    words = ["the", "magnet", "iron", "of", "rust", "sea"]
    asked = [
        [" ".join(draw.choices(words, k=draw.choice([1, 3, 40]))) for _ in range(count)]
        for count in [draw.choice([1, 1, 1, 5, 33, 700]) for _ in range(60)]
    ]
    with ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(lambda texts: server.post("/v1/embeddings", {"input": texts}), asked)
        )
    for texts, (status, answer) in zip(asked, answers, strict=True):
        assert status == 200
        assert near([row["embedding"] for row in answer["data"]], offline.encode(texts))
    _, _, said = server.call("GET", "/metrics")
    figures = dict(
        line.rsplit(" ", 1) for line in said.decode().splitlines() if not line.startswith("#")
    )
    assert float(figures['magnetite_waiting_tokens{model="golden"}']) == 0
    batches, texts = (
        float(figures[f"magnetite_{name}"]) for name in ("batch_tokens_count", "texts_total")
    )
    assert batches < texts / 2  # so requests were merged


def test_dimensions_cut_vectors_and_make_them_of_length_one(client, offline):
    said = client.embeddings.create(model="golden", input=TEXTS, dimensions=8)
    wanted = offline.encode(TEXTS)[:, :8]
    wanted = wanted / np.linalg.norm(wanted, axis=1, keepdims=True)
    assert near([row.embedding for row in said.data], wanted)
    with pytest.raises(openai.BadRequestError, match=r"may have \[8, 16\] numbers"):
        client.embeddings.create(model="golden", input="x", dimensions=7)


def test_a_prompt_goes_before_the_text(server, offline):
    name = next(iter(offline.prompts))
    status, said = server.post("/v1/embeddings", {"input": "iron", "prompt_name": name})
    assert status == 200
    assert near(said["data"][0]["embedding"], offline.encode("iron", prompt_name=name))
    status, said = server.post("/v1/embeddings", {"input": "iron", "prompt_name": "nope"})
    assert (status, said["error"]["param"]) == (400, "prompt_name")


def test_texts_that_are_cut_are_counted_or_refused(server, offline):
    long = "magnet " * 500
    status, headers, _ = server.call("POST", "/v1/embeddings", {"input": ["x", long]})
    assert (status, headers["magnetite-truncated"]) == (200, "1")
    status, said = server.post("/v1/embeddings", {"input": ["x", long], "truncate": False})
    assert status == 413
    assert "text 1 has more than" in said["error"]["message"]


def test_tei_gives_bare_rows(server, offline):
    status, rows = server.post("/embed", {"inputs": TEXTS, "normalize": True})
    assert status == 200
    assert near(rows, offline.encode(TEXTS))
    _, [row] = server.post("/embed", {"inputs": "iron"})
    assert near(row, offline.encode("iron"))


def test_the_server_says_what_it_serves(server, client, offline):
    assert [model.id for model in client.models.list()] == ["golden"]
    _, _, said = server.call("GET", "/info")
    assert said["serves"]["rerank"] is False
    assert (said["fingerprint"], said["dim"]) == (offline.fingerprint, offline.dim)
    status, said = server.post("/rerank", {"query": "x", "texts": ["y"]})
    assert (status, said["error"]["code"]) == (501, "not_served")
    with pytest.raises(openai.NotFoundError, match="'golden' is"):
        client.embeddings.create(model="text-embedding-3-small", input="x")
