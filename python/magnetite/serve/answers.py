"""What the server answers: the shapes that its OpenAPI names, and the bytes, made by hand.

A vector goes to the client as base64 of its float32 numbers, little-endian, or as numbers that read
back to the same float32; validating each of them on the way out would cost more than the engine.
"""

import sys
from binascii import b2a_base64
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import orjson
from fastapi import Response
from pydantic import BaseModel

from magnetite.encode.cross_encoder import sigmoid
from magnetite.index import Found
from magnetite.serve.asked import Rerank
from magnetite.serve.batcher import Vectors


class EmbeddingRow(BaseModel):
    """A vector: numbers, or base64 of little-endian float32."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """Tokens, special ones included, after texts were cut."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(BaseModel):
    """The answer of /v1/embeddings."""

    object: Literal["list"]
    data: list[EmbeddingRow]
    model: str
    usage: Usage


class Model(BaseModel):
    """A model that is served."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(BaseModel):
    """The answer of /v1/models."""

    object: Literal["list"]
    data: list[Model]


class Hit(BaseModel):
    """A document and how well it answers; a higher score is better."""

    id: str
    score: float
    title: str
    text: str
    metadata: dict[str, Any]


class Answer(BaseModel):
    """What was found for a query, best first."""

    query: str
    hits: list[Hit]


class SearchAnswer(BaseModel):
    """The answer of /search."""

    collection: str
    results: list[Answer]
    seconds: float


class RerankText(BaseModel):
    """A document that was given."""

    text: str


class RerankResult(BaseModel):
    """A document's place in the request, and how well it answers; a higher score is better."""

    index: int
    relevance_score: float
    document: RerankText | None = None


class Reranked(BaseModel):
    """The answer of /rerank, best first."""

    model: str
    results: list[RerankResult]
    usage: Usage


def json_response(body: Any, *, cut: int = 0) -> Response:  # noqa: ANN401 - whatever JSON holds
    """Return a response of 200; `cut` texts that lost their end are named in a header."""
    headers = {"magnetite-truncated": str(cut)} if cut else None
    content = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(content, headers=headers, media_type="application/json")


def hit(found: Found) -> dict[str, Any]:
    """Return a result in the shape of `Hit`."""
    document = found.document
    return {
        "id": document.id,
        "score": found.score,
        "title": document.title,
        "text": document.text,
        "metadata": document.metadata,
    }


def embeddings(
    vectors: Vectors, *, model: str, tokens: int, base64: bool, cut: int = 0
) -> Response:
    """Return vectors in the shape of `Embeddings`."""
    rows: Any = [packed(row) for row in vectors] if base64 else vectors
    data = [
        {"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_response({"object": "list", "data": data, "model": model, "usage": usage}, cut=cut)


def reranked(
    scores: Vectors, documents: Sequence[str], asked: Rerank, *, model: str, tokens: int, cut: int
) -> Response:
    """Return scores in the shape of `Reranked`; equal ones by the lower place."""
    wide = scores.astype(np.float64)  # where float32 would make every sigmoid 1 from 17 on
    shown = wide if asked.raw_scores else sigmoid(wide)
    results = []
    for place in np.argsort(-wide, kind="stable")[: asked.top_n].tolist():
        one: dict[str, Any] = {"index": place, "relevance_score": float(shown[place])}
        if asked.return_documents:
            one["document"] = {"text": documents[place]}
        results.append(one)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_response({"model": model, "results": results, "usage": usage}, cut=cut)


def packed(vector: Vectors) -> str:
    """Return a vector as base64."""
    if sys.byteorder == "big":
        vector = vector.byteswap()
    return b2a_base64(vector.data, newline=False).decode("ascii")
