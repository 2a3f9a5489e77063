"""The cross-encoder that is served: pairs of many requests to scores, through a batcher."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magnetite.encode import CrossEncoder
from magnetite.encode.engines import BATCH_TOKENS, Ragged
from magnetite.serve.batcher import Batcher, Ids, Starts, Vectors
from magnetite.serve.limits import Limits
from magnetite.serve.metrics import Metrics
from magnetite.serve.refusal import Refusal
from magnetite.serve.served import AT_ONCE, Rows


class Reranker:
    """A cross-encoder under the name that clients call it by."""

    def __init__(self, encoder: CrossEncoder, name: str, limits: Limits, metrics: Metrics) -> None:
        self.encoder, self.name, self.limits, self.metrics = encoder, name, limits, metrics
        self.batcher = Batcher(
            self._run,
            1,
            budget=BATCH_TOKENS,
            threads=encoder.threads,
            limit_tokens=limits.tokens,
            param="documents",
            heard=metrics.batch,
        )
        # What the engine opens when it is first used, it opens before the first request.
        for beside in (False, True):
            self._run(np.zeros((1, 2), np.int32), np.array([0, 1]), beside)
        metrics.waiting.labels(name).set_function(lambda: self.batcher.tokens)
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="magnetite-pairs")

    def _run(self, tokens: Ids, starts: Starts, beside: bool) -> Vectors:  # noqa: FBT001 - an Engine
        """Return the scores [n, 1] of rows of tokens [t, 2]: ids beside types."""
        ids, types = (np.ascontiguousarray(column) for column in tokens.T)
        return self.encoder.score_rows(Ragged(ids, starts, types), beside=beside)

    async def rows(self, query: str, documents: Sequence[str], *, truncate: bool) -> Rows:
        """Return a row for each pair, as `CrossEncoder.predict` would see it.

        Raises:
            Refusal: Too many documents, or a pair too long where none may be cut.
        """
        if len(documents) > self.limits.texts:
            raise Refusal(
                413,
                f"{len(documents)} documents in one request; this server takes "
                f"{self.limits.texts}; send the rest in another",
                param="documents",
                code="too_many_texts",
            )
        work = partial(self.encoder.pairing.rows, list(zip(repeat(query), documents, strict=False)))
        if len(query) + sum(map(len, documents)) <= AT_ONCE:
            rows, truncated = work()
        else:
            loop = asyncio.get_running_loop()
            rows, truncated = await loop.run_in_executor(self._tokenizing, work)
        if len(truncated) and not truncate:
            raise Refusal(
                413,
                f"the query and document {int(truncated[0])} have more than "
                f"{self.encoder.max_tokens} tokens together; shorten them, or send truncate=true "
                "to lose the document's end",
                param="truncate",
                code="text_too_long",
            )
        assert rows.types is not None  # of pairs there always are
        return Rows(np.stack([rows.ids, rows.types], 1), rows.starts, len(truncated))

    async def scores(self, rows: Rows) -> NDArray[np.float32]:  # [n]
        """Return the raw score of each pair."""
        found = await self.batcher.encode(rows.ids, rows.starts)
        self.metrics.pairs.inc(len(found))
        self.metrics.truncated.inc(rows.cut)
        return found[:, 0]

    def check_name(self, model: str | None) -> None:
        """Refuse, with 404, a name that is not this cross-encoder's; none at all is its own."""
        if model is not None and model != self.name:
            raise Refusal(
                404,
                f"model {model!r} does not rerank here, {self.name!r} does",
                param="model",
                code="model_not_found",
            )

    def as_model(self) -> dict[str, Any]:
        """Return what /v1/models says of it."""
        return {"id": self.name, "object": "model", "created": 0, "owned_by": "magnetite"}

    def info(self) -> dict[str, Any]:
        """Return what /info says of it."""
        encoder = self.encoder
        return {
            "model": self.name,
            "fingerprint": encoder.fingerprint,
            "max_tokens": encoder.max_tokens,
            "threads": encoder.threads,
        }

    def close(self) -> None:
        """End both threads when they are done with what they are at."""
        self._tokenizing.shutdown(wait=False, cancel_futures=True)
        self.batcher.close()
