"""Text in, vectors out."""

import logging
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from magnetite import _core
from magnetite._core import FormatError
from magnetite.encode.artifact import ENCODER, TOKENIZER, Artifact
from magnetite.encode.engines import BATCH_TOKENS, ENGINES, Done, Engine, Window, runs
from magnetite.encode.session import Vectors
from magnetite.text import Tokenizer, Tokens

BUILTIN = Path(__file__).parent / "builtin"
log = logging.getLogger(__name__)


class Encoder:
    """A sealed encoder, ready to run on this machine.

    One may be used from several threads at once, after `fork`, and after pickling: the copy opens
    the same directory again and refuses it if its fingerprint has changed.
    """

    def __init__(self, artifact: Artifact, *, threads: int | None = None) -> None:
        self.artifact = artifact
        self.threads = _core.resolve_threads(threads)
        self.truncated = 0
        """Texts cut to `max_tokens` since the encoder was loaded; the first is logged."""
        self._count = threading.Lock()
        self._asked_threads = threads
        self._tokenizer = Tokenizer.load(artifact.directory / TOKENIZER)
        # Rust looks NumPy up at its first array; a Ctrl-C during that would be a panic.
        self._tokenizer.encode_batch([])
        make = ENGINES[artifact.manifest.engine]
        self.engine: Engine = make(artifact, self._tokenizer, self.threads)

    @classmethod
    def load(
        cls, directory: str | os.PathLike[str] | None = None, *, threads: int | None = None
    ) -> "Encoder":
        """Return the encoder of an artifact; without a directory, the one that the package ships.

        Args:
            directory: What `magnetite export` or `magnetite train` wrote.
            threads: For the tokenizer and the engine alike; else `MAGNETITE_NUM_THREADS`, else
                the CPUs at hand.

        Raises:
            FormatError: A file is missing, truncated or changed.
            ValueError: The artifact is a cross-encoder.
        """
        place = BUILTIN if directory is None else directory
        return cls(Artifact.load(place, kind=ENCODER), threads=threads)

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self.artifact.manifest.dim

    @property
    def max_tokens(self) -> int:
        """Tokens kept of a text, special tokens included."""
        return self.artifact.manifest.max_tokens

    @property
    def similarity(self) -> str:
        """The metric its vectors were trained for: `cosine`, `dot` or `l2`."""
        return self.artifact.manifest.similarity

    @property
    def fingerprint(self) -> str:
        """Names the encoder; an index keeps it and refuses another one's queries."""
        return self.artifact.fingerprint

    @property
    def tokenizer(self) -> Tokenizer:
        """What makes ids of its texts."""
        return self._tokenizer

    @property
    def prompts(self) -> dict[str, str]:
        """Texts that may be put before a text, by name."""
        return dict(self.artifact.manifest.prompts)

    def encode(
        self,
        texts: str | Sequence[str],
        *,
        prompt_name: str | None = None,
        batch_tokens: int = BATCH_TOKENS,
        normalize: bool | None = None,
        show_progress: bool | None = None,
    ) -> Vectors:
        """Return one vector for each text, in order; for a single string, its vector.

        A vector does not depend on the texts encoded with it (1e-6 a coordinate, float32).

        Args:
            texts: A string, or a sequence of them. Texts over `max_tokens` lose their end; see
                `truncated`. A lone surrogate counts as U+FFFD.
            prompt_name: Which of `prompts` goes before each text; else the default, if one is set.
            batch_tokens: Tokens in a batch, padding included. Changes speed, never vectors.
            normalize: None leaves vectors as exported, True gives them length one.
            show_progress: None shows a bar on a terminal when the work is long.

        Returns:
            float32 vectors, [n, dim] or [dim].

        Raises:
            TypeError: Something among the texts is not a string.
            ValueError: The prompt is unknown; `normalize=False`, but the graph normalises.
        """
        if normalize is False and self.artifact.manifest.normalized:
            raise ValueError(
                "normalize=False, but this encoder was exported with normalisation inside its "
                "graph; use normalize=None, or export it without the Normalize module"
            )
        if batch_tokens < 1:
            raise ValueError(f"batch_tokens is {batch_tokens}; wanted at least 1")
        single = isinstance(texts, str)
        listed = [texts] if isinstance(texts, str) else _checked(texts)
        prompt = self.prompt(prompt_name)
        out = np.empty((len(listed), self.dim), dtype=np.float32)
        # tqdm's own delay keeps short work quiet; its disable=None is quiet off a terminal.
        hidden = None if show_progress is None else not show_progress
        delay = 2 if show_progress is None else 0
        with tqdm(total=len(listed), unit="text", disable=hidden, delay=delay) as bar:

            def heard(done: Done) -> None:
                bar.update(done.texts)
                self._tell_truncated(done.truncated)

            self.engine.encode(_slices(listed, prompt, out), batch_tokens, heard)
        if normalize and not self.artifact.manifest.normalized:
            length = np.linalg.norm(out, axis=1, keepdims=True)
            np.divide(out, length, out=out, where=length > 0)
        return out[0] if single else out

    def encode_query(
        self,
        texts: str | Sequence[str],
        *,
        batch_tokens: int = BATCH_TOKENS,
        normalize: bool | None = None,
        show_progress: bool | None = None,
    ) -> Vectors:
        """Return what `encode` gives with the prompt named `query`, where there is one."""
        return self.encode(
            texts,
            prompt_name=self._first_prompt("query"),
            batch_tokens=batch_tokens,
            normalize=normalize,
            show_progress=show_progress,
        )

    def encode_document(
        self,
        texts: str | Sequence[str],
        *,
        batch_tokens: int = BATCH_TOKENS,
        normalize: bool | None = None,
        show_progress: bool | None = None,
    ) -> Vectors:
        """Return what `encode` gives with the prompt `document`, `passage` or `corpus`, if any."""
        return self.encode(
            texts,
            prompt_name=self._first_prompt("document", "passage", "corpus"),
            batch_tokens=batch_tokens,
            normalize=normalize,
            show_progress=show_progress,
        )

    def encode_ids(
        self, ids: NDArray[np.int32], starts: NDArray[np.int64], *, beside: bool = False
    ) -> Vectors:
        """Return the vectors of texts that are tokens already, as exported.

        Args:
            ids: Every text's ids, row after row, special tokens among them, at most `max_tokens`
                each; what `tokenize(texts).ids` is.
            starts: Where each row begins, and where the last ends, [n + 1].
            beside: The rows are one batch, of like length, and other threads have others: each is
                run by one thread, as many at a time as the encoder has. Ctrl-C waits for it.

        Returns:
            float32 vectors, [n, dim].
        """
        out = np.empty((len(starts) - 1, self.dim), dtype=np.float32)
        encode = self.engine.encode_beside if beside else self.engine.encode_ids
        encode(ids, starts, out)
        return out

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens that `encode` would see, without a prompt; `.truncated` names rows."""
        return self._tokenizer.encode_batch(texts, max_tokens=self.max_tokens, threads=self.threads)

    def prompt(self, name: str | None) -> str:
        """Return the text that goes before texts under this name; None is the default's."""
        prompts = self.artifact.manifest.prompts
        name = self.artifact.manifest.default_prompt if name is None else name
        if name is None:
            return ""
        if name not in prompts:
            raise ValueError(f"no prompt is named {name!r}; this encoder has {sorted(prompts)}")
        return prompts[name]

    def _first_prompt(self, *names: str) -> str | None:
        return next((name for name in names if name in self.artifact.manifest.prompts), None)

    def _tell_truncated(self, count: int) -> None:
        if not count:
            return
        with self._count:
            first, self.truncated = self.truncated == 0, self.truncated + count
        if first:
            log.warning(
                "texts over %d tokens lose their end, %d of them so far; Encoder.truncated counts "
                "on, and Encoder.tokenize(texts).truncated names the rows",
                self.max_tokens,
                count,
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.artifact.directory, self.fingerprint, self._asked_threads)

    def __repr__(self) -> str:
        manifest = self.artifact.manifest
        engine = manifest.quantized or manifest.engine
        return (
            f"Encoder({str(self.artifact.directory)!r}, engine={engine!r}, "
            f"dim={self.dim}, max_tokens={self.max_tokens}, threads={self.threads})"
        )


def _reopen(directory: Path, fingerprint: str, threads: int | None) -> Encoder:
    encoder = Encoder.load(directory, threads=threads)
    if encoder.fingerprint != fingerprint:
        raise FormatError(
            f"{directory} holds encoder {encoder.fingerprint[:12]}…, not {fingerprint[:12]}…, "
            "which was pickled; put the old artifact back, or pickle the encoder again"
        )
    return encoder


def _slices(texts: list[str], prompt: str, out: Vectors) -> Iterator[Window]:
    """Cut texts and the array of their vectors into windows."""
    start = 0
    for window in runs(texts, str):
        rows = out[start : start + len(window)]
        start += len(window)
        yield Window([prompt + text for text in window] if prompt else window, rows)


def _checked(texts: Sequence[str]) -> list[str]:
    """Return the texts as a list, or say which of them is not text."""
    if isinstance(texts, bytes | bytearray) or not isinstance(texts, Iterable):
        remedy = "; decode it" if isinstance(texts, bytes | bytearray) else ""
        raise TypeError(f"texts must be a str or a sequence of str; got {_kind(texts)}{remedy}")
    listed = list(texts)
    for row, text in enumerate(listed):
        if not isinstance(text, str):
            raise TypeError(f"texts[{row}] must be a str; got {_kind(text)}")
    return listed


def _kind(value: object) -> str:
    return type(value).__name__
