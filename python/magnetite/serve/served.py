"""The encoder that is served: texts or ids of a request to vectors, through the batcher."""

import asyncio
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from magnetite.encode import Encoder
from magnetite.encode.engines import BATCH_TOKENS
from magnetite.serve.batcher import NEAR, Batcher, Ids, Starts, Vectors
from magnetite.serve.limits import Limits
from magnetite.serve.metrics import Metrics
from magnetite.serve.refusal import Refusal

AT_ONCE = 1 << 15
"""Characters tokenized on the event loop, in about a millisecond; more go to a thread."""

STATIC_TOKENS = 16_384
"""Of a batch without padding: milliseconds of a static encoder, far more than handing it over."""


@dataclass(frozen=True)
class Rows:
    """Ragged ids of a request, and how many of its texts were cut."""

    ids: Ids
    starts: Starts
    cut: int


class Served:
    """An encoder under the name that clients call it by."""

    def __init__(
        self,
        encoder: Encoder,
        name: str,
        limits: Limits,
        metrics: Metrics,
        *,
        dimensions: Sequence[int] = (),
    ) -> None:
        """`dimensions`: lengths that vectors may be cut to; the model must be trained for them.

        Raises:
            ValueError: One of them is not below the vectors' own length.
        """
        if any(not 0 < length <= encoder.dim for length in dimensions):
            raise ValueError(
                f"dimensions {sorted(dimensions)}: each must be from 1 to the encoder's "
                f"{encoder.dim}"
            )
        self.encoder, self.name, self.limits = encoder, name, limits
        self.dimensions = sorted({*dimensions, encoder.dim})
        self.metrics = metrics
        padded = encoder.artifact.manifest.engine == "onnx"
        self.batcher = Batcher(
            lambda ids, starts, beside: encoder.encode_ids(ids, starts, beside=beside and padded),
            encoder.dim,
            budget=BATCH_TOKENS if padded else STATIC_TOKENS,
            threads=encoder.threads if padded else 1,
            limit_tokens=limits.tokens,
            near=NEAR if padded else 0.0,
            heard=metrics.batch,
        )
        # What the engine opens when it is first used, it opens before the first request.
        for beside in (False, True):
            encoder.encode_ids(np.zeros(1, np.int32), np.array([0, 1]), beside=beside)
        metrics.waiting.labels(name).set_function(lambda: self.batcher.tokens)
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="magnetite-tokenize")

    async def vectors(
        self, rows: Rows, *, dimensions: int | None = None, unit: bool = False
    ) -> Vectors:
        """Return a vector for each row, cut to `dimensions`; `unit`, of length one.

        Vectors of length one keep it when they are cut.
        """
        length = self._length(dimensions)
        found = await self.batcher.encode(rows.ids, rows.starts)
        self.metrics.texts.inc(len(found))
        self.metrics.truncated.inc(rows.cut)
        normalized = self.normalized
        if length < found.shape[1]:
            found = np.ascontiguousarray(found[:, :length])
            normalized, unit = False, unit or normalized
        if unit and not normalized:
            norms = np.linalg.norm(found, axis=1, keepdims=True)
            np.divide(found, norms, out=found, where=norms > 0)
        return found

    async def rows(self, texts: list[str], *, prompt: str | None, truncate: bool) -> Rows:
        """Return the ids that `Encoder.encode` would see.

        Raises:
            Refusal: Too many texts, an unknown prompt, or a text too long where none may be cut.
        """
        self._count(len(texts))
        try:
            before = self.encoder.prompt(prompt)
        except ValueError as error:
            raise Refusal(400, str(error), param="prompt_name", code="unknown_prompt") from None
        if before:
            texts = [before + text for text in texts]
        if sum(map(len, texts)) <= AT_ONCE:
            tokens = self.encoder.tokenize(texts)
        else:
            loop = asyncio.get_running_loop()
            tokens = await loop.run_in_executor(self._tokenizing, self.encoder.tokenize, texts)
        if len(tokens.truncated) and not truncate:
            row = int(tokens.truncated[0])
            raise Refusal(
                413,
                f"text {row} has more than {self.encoder.max_tokens} tokens; shorten it, or send "
                "truncate=true to lose its end",
                param="truncate",
                code="text_too_long",
            )
        return Rows(tokens.ids, tokens.starts, len(tokens.truncated))

    def ids(self, lists: list[list[int]]) -> Rows:
        """Return ids that a client made itself, as they are.

        Raises:
            Refusal: Too many lists, or an id or a length that this encoder cannot have.
        """
        self._count(len(lists))
        lengths = [len(one) for one in lists]
        if max(lengths) > self.encoder.max_tokens:
            raise Refusal(
                400,
                f"input {int(np.argmax(lengths))} has {max(lengths)} token ids; this encoder takes "
                f"{self.encoder.max_tokens}; cut them, or send the text",
                param="input",
                code="too_many_ids",
            )
        ids = np.fromiter(itertools.chain.from_iterable(lists), np.int64, sum(lengths))
        known = self.encoder.tokenizer.vocab_size
        if ids.max() >= known:
            raise Refusal(
                400,
                f"token id {int(ids.max())} is not in this encoder's vocabulary of {known}; ids "
                "must come from its own tokenizer, not from OpenAI's; or send the text (LangChain: "
                "check_embedding_ctx_length=False)",
                param="input",
                code="unknown_id",
            )
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return Rows(ids.astype(np.int32), starts, 0)

    @property
    def query_prompt(self) -> str | None:
        """Name of the prompt that goes before questions, as `Encoder.encode_query` has it."""
        return "query" if "query" in self.encoder.prompts else None

    @property
    def normalized(self) -> bool:
        """Whether vectors have length one before they are cut."""
        return self.encoder.artifact.manifest.normalized

    def check_name(self, model: str | None) -> None:
        """Refuse, with 404, a name that is not this encoder's; none at all is its own."""
        if model is not None and model != self.name:
            raise Refusal(
                404,
                f"model {model!r} is not served here, {self.name!r} is; `magnetite serve --name` "
                "gives it another",
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
            "engine": encoder.artifact.manifest.engine,
            "dim": encoder.dim,
            "dimensions": self.dimensions,
            "max_tokens": encoder.max_tokens,
            "similarity": encoder.similarity,
            "normalized": self.normalized,
            "prompts": encoder.prompts,
            "threads": encoder.threads,
        }

    def close(self) -> None:
        """End both threads when they are done with what they are at."""
        self._tokenizing.shutdown(wait=False, cancel_futures=True)
        self.batcher.close()

    def _count(self, texts: int) -> None:
        if texts > self.limits.texts:
            raise Refusal(
                413,
                f"{texts} texts in one request; this server takes {self.limits.texts}; send the "
                "rest in another",
                param="input",
                code="too_many_texts",
            )

    def _length(self, dimensions: int | None) -> int:
        length = dimensions or self.encoder.dim
        if length not in self.dimensions:
            raise Refusal(
                400,
                f"dimensions={length}: vectors of {self.name!r} may have {self.dimensions} "
                "numbers; cutting others off would change what is near to what (`magnetite serve "
                "--dimensions` allows it for a model that was trained for it)",
                param="dimensions",
                code="unknown_dimensions",
            )
        return length
