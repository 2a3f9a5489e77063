"""The FastAPI application: which route gives what."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, TypeVar

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from magnetite import __version__
from magnetite.serve import answers, page
from magnetite.serve.asked import Asked, OpenAIEmbedding, Rerank, Search, TeiEmbedding, read
from magnetite.serve.metrics import CONTENT_TYPE
from magnetite.serve.refusal import ErrorBody, Refusal
from magnetite.serve.rerank import Reranker
from magnetite.serve.search import Searches
from magnetite.serve.served import Rows, Served

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

_REFUSALS = {
    400: "The body is not what the route takes.",
    401: "The key is missing or wrong.",
    404: "What the body names is not served.",
    408: "The body did not arrive in time.",
    413: "The body, the number of texts or that of tokens is beyond this server's limits.",
    429: "The server is full; Retry-After says for how long.",
}


def application(served: Served, searches: Searches, reranker: Reranker | None = None) -> FastAPI:
    """Return the application around an encoder, any collections, and perhaps a cross-encoder."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        searches.close()
        for one in {served, *(found.served for found in searches.by_name.values())}:
            one.close()
        if reranker is not None:
            reranker.close()

    app = FastAPI(
        title="Magnetite",
        version=__version__,
        summary="Texts to vectors, questions to documents.",
        docs_url=None,  # both pages load their scripts from elsewhere; /openapi.json is here
        redoc_url=None,
        lifespan=life,
        exception_handlers={
            Refusal: _refused,
            HTTPException: _http,
            ClientDisconnect: _gone,
            Exception: _failed,
        },
    )
    app.include_router(embedding_routes(served))
    app.include_router(rerank_routes(reranker))
    app.include_router(search_routes(served, searches))
    app.include_router(state_routes(served, searches, reranker))
    app.include_router(page.routes())
    return app


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return error.response()


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Refusal(error.status_code, f"{error.detail}; /openapi.json lists the routes").response()


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=499)  # for the counters; nobody reads it


async def _failed(request: Request, error: Exception) -> Response:
    log.error("%s failed", request.url.path, exc_info=error)
    return Refusal(500, "the server failed; its log says why").response()


def takes(kind: type[Asked]) -> dict[str, Any]:
    """Say in the OpenAPI what a route takes and how it refuses: it reads the body itself."""
    body = {"content": {"application/json": {"schema": kind.model_json_schema()}}}
    return {
        "openapi_extra": {"requestBody": {"required": True} | body},
        "responses": {
            status: {"model": ErrorBody, "description": said} for status, said in _REFUSALS.items()
        },
    }


def embedding_routes(served: Served) -> APIRouter:
    """Return the routes that make vectors."""
    router = APIRouter()

    @router.post("/v1/embeddings", response_model=answers.Embeddings, **takes(OpenAIEmbedding))
    async def openai(request: Request) -> Response:
        """Give the vectors of texts or of token ids, as OpenAI's route of this name does."""
        asked = await read(request, OpenAIEmbedding, served.limits)
        served.check_name(asked.model)
        rows = await _rows(served, asked)
        vectors = await while_there(request, served.vectors(rows, dimensions=asked.dimensions))
        return answers.embeddings(
            vectors,
            model=served.name,
            tokens=len(rows.ids),
            base64=asked.encoding_format == "base64",
            cut=rows.cut,
        )

    @router.post("/embed", response_model=list[list[float]], **takes(TeiEmbedding))
    async def tei(request: Request) -> Response:
        """Give the vectors of texts, as text-embeddings-inference's route of this name does."""
        asked = await read(request, TeiEmbedding, served.limits)
        if not asked.normalize and served.normalized:
            message = "normalize=false, but this encoder normalises inside its graph; leave it out"
            raise Refusal(400, message, param="normalize", code="invalid_value")
        texts = [asked.inputs] if isinstance(asked.inputs, str) else asked.inputs
        rows = await served.rows(texts, prompt=asked.prompt_name, truncate=asked.truncate)
        work = served.vectors(rows, dimensions=asked.dimensions, unit=asked.normalize)
        return answers.json_response(await while_there(request, work), cut=rows.cut)

    return router


def rerank_routes(reranker: Reranker | None) -> APIRouter:
    """Return the route that ranks documents by a cross-encoder, under its three names."""
    router = APIRouter()

    async def rerank(request: Request) -> Response:
        """Rank documents by how well they answer a query, as Cohere's route of this name does."""
        if reranker is None:
            message = "no cross-encoder is served here; start `magnetite serve CROSS-ENCODER`"
            raise Refusal(501, message, code="not_served")
        asked = await read(request, Rerank, reranker.limits)
        reranker.check_name(asked.model)
        documents = asked.texts()
        rows = await reranker.rows(asked.query, documents, truncate=asked.truncate)
        scores = await while_there(request, reranker.scores(rows))
        name, tokens = reranker.name, len(rows.ids)
        return answers.reranked(scores, documents, asked, model=name, tokens=tokens, cut=rows.cut)

    for path in ("/rerank", "/v1/rerank", "/v2/rerank"):
        router.post(
            path,
            response_model=answers.Reranked,
            include_in_schema=reranker is not None and path == "/rerank",
            **takes(Rerank),
        )(rerank)
    return router


async def _rows(served: Served, asked: OpenAIEmbedding) -> Rows:
    """Return the rows of whichever of its four shapes `input` has."""
    given = asked.input
    if isinstance(given, str):
        return await served.rows([given], prompt=asked.prompt_name, truncate=asked.truncate)
    if isinstance(given[0], str):
        return await served.rows(given, prompt=asked.prompt_name, truncate=asked.truncate)
    if asked.prompt_name is not None:
        message = "a prompt goes before text, and input is token ids; put its ids among them"
        raise Refusal(400, message, param="prompt_name", code="invalid_value")
    return served.ids([given] if isinstance(given[0], int) else given)


async def while_there(request: Request, work: Coroutine[Any, Any, _Result]) -> _Result:
    """Return what `work` gives; cancel it as soon as its client has gone."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        working.cancel()
        leaving.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def search_routes(served: Served, searches: Searches) -> APIRouter:
    """Return the route that finds documents."""
    router = APIRouter()

    @router.post("/search", response_model=answers.SearchAnswer, **takes(Search))
    async def search(request: Request) -> Response:
        """Find the documents of a collection that answer a query, or each of several."""
        start = time.perf_counter()
        asked = await read(request, Search, served.limits)
        searchable = searches.named(asked.collection)
        queries = [asked.query] if asked.query is not None else asked.queries or []
        work = searches.search(
            searchable,
            queries,
            asked.k,
            where=asked.where,
            target_recall=asked.target_recall,
            min_score=asked.min_score,
        )
        found = await while_there(request, work)
        results = [
            {"query": query, "hits": [answers.hit(one) for one in hits]}
            for query, hits in zip(queries, found, strict=True)
        ]
        seconds = time.perf_counter() - start
        return answers.json_response(
            {"collection": searchable.name, "results": results, "seconds": seconds}
        )

    return router


def state_routes(served: Served, searches: Searches, reranker: Reranker | None) -> APIRouter:
    """Return the routes that say how the server is."""
    router = APIRouter()

    @router.get("/v1/models", response_model=answers.Models)
    async def models() -> Response:
        """List what is served: the encoder, and the cross-encoder where there is one."""
        found = [served.as_model(), *([] if reranker is None else [reranker.as_model()])]
        return answers.json_response({"object": "list", "data": found})

    @router.get("/health")
    async def health() -> dict[str, str]:
        """Say that the server answers; nothing is computed."""
        return {"status": "ok"}

    @router.get("/info")
    async def info() -> Response:
        """Say what is served, and within which limits."""
        collections = [one.info() for one in searches.by_name.values()]
        kinds = {"embeddings": True, "search": bool(collections), "rerank": bool(reranker)}
        body = {"version": __version__, "serves": kinds} | served.info()
        body |= {"collections": collections, "limits": asdict(served.limits)}
        if reranker is not None:
            body["reranker"] = reranker.info()
        return answers.json_response(body)

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Give counters in Prometheus' text format."""
        return Response(served.metrics.text(), media_type=CONTENT_TYPE)

    return router
