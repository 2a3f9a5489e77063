"""Whether a sealed encoder gives the same vectors on this machine as where it was sealed."""

import math
import os
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magnetite.encode.artifact import CROSS_ENCODER, GOLDEN, Artifact
from magnetite.encode.cross_encoder import CrossEncoder
from magnetite.encode.encoder import BUILTIN, Encoder
from magnetite.encode.engines import BATCH_TOKENS, Window
from magnetite.encode.golden import Golden
from magnetite.encode.quantization import table

BOUND = 1e-4
"""Largest difference a coordinate may show; docs/numerics.md derives what is to be expected.

Scores have no length: theirs is this share of the largest golden one, if that is above 1.
"""

COSINE_BOUND = 2e-3
"""What a quantized graph's golden cosine may lose: on another CPU a byte may round the other way,
which moves a vector of all-MiniLM-L6-v2 by some 1e-4."""


@dataclass(frozen=True)
class Report:
    """What `verify` found; its checks of the files raise before there is one."""

    directory: str
    fingerprint: str
    texts: int
    deviation: dict[str, float]
    """Largest difference per coordinate from the golden vectors, by engine."""
    bound: float = BOUND
    golden_cosine: float | None = None
    """Smallest of the quantized graph's vectors to the golden ones, if such a graph is run."""
    quantization: dict[str, Any] = field(default_factory=dict)
    """What was measured when it was exported with `--quantize`; else empty."""

    @property
    def ok(self) -> bool:
        """Whether every engine stayed within the bound."""
        close = self.golden_cosine is None or (
            self.golden_cosine >= self.quantization["golden_cosine"] - COSINE_BOUND
        )
        return close and all(deviation <= self.bound for deviation in self.deviation.values())

    def __str__(self) -> str:
        found = ", ".join(f"{engine} {value:.1e}" for engine, value in self.deviation.items())
        verdict = "verified" if self.ok else "NOT the vectors it was sealed with"
        said = (
            f"{self.directory}: {verdict}; {self.texts} texts, "
            f"max |Δ| {found}, bound {self.bound:.1g}"
        )
        if self.golden_cosine is not None:
            sealed = self.quantization["golden_cosine"]
            said += (
                f"\nruns {self.quantization['chosen']}: smallest golden cosine to fp32 "
                f"{self.golden_cosine:.4f}, sealed with {sealed:.4f}"
            )
        return f"{said}\n{table(self.quantization)}" if self.quantization else said


def verify(
    directory: str | os.PathLike[str] | None = None, *, threads: int | None = None
) -> Report:
    """Return how far the golden vectors, computed again on this CPU, are from the sealed ones.

    A static artifact is run by both of its engines: Rust, and ONNX Runtime on the same weights; a
    quantized one by both of its graphs.

    Raises:
        FormatError: A file is missing, truncated or changed.
    """
    artifact = Artifact.load(BUILTIN if directory is None else directory)
    if artifact.manifest.kind == CROSS_ENCODER:
        return _verify_scores(CrossEncoder(artifact, threads=threads))
    quantization, cosine = artifact.manifest.quantization, None
    if artifact.manifest.quantized:
        encoder = Encoder(artifact, threads=threads)
        cosine = golden_cosine(encoder, Golden.read(artifact.directory / GOLDEN, encoder.dim))
        artifact = replace(artifact, manifest=replace(artifact.manifest, quantization={}))
    encoder = Encoder(artifact, threads=threads)
    golden = Golden.read(artifact.directory / GOLDEN, encoder.dim)
    deviation = {artifact.manifest.engine: largest_difference(encoder, golden)}
    if artifact.manifest.engine != "onnx":
        twin = replace(artifact, manifest=replace(artifact.manifest, engine="onnx"))
        deviation["onnx"] = largest_difference(Encoder(twin, threads=threads), golden)
    return Report(
        str(artifact.directory),
        encoder.fingerprint,
        len(golden.texts),
        deviation,
        golden_cosine=cosine,
        quantization=quantization,
    )


def _verify_scores(encoder: CrossEncoder) -> Report:
    artifact = encoder.artifact
    golden = Golden.read(artifact.directory / GOLDEN, artifact.manifest.dim, pairs=True)
    scores = encoder.predict(golden.pairs, show_progress=False)
    deviation = {artifact.manifest.engine: _largest(scores[:, None] - golden.vectors)}
    bound = BOUND * scale(golden.vectors)
    name = str(artifact.directory)
    return Report(name, encoder.fingerprint, len(golden.pairs), deviation, bound)


def scale(scores: NDArray[np.float32]) -> float:
    """Return the largest of some scores, or 1: what their differences are measured by."""
    return max(1.0, float(np.abs(scores).max(initial=0.0)))


def largest_difference(encoder: Encoder, golden: Golden) -> float:
    """Return the largest difference of a coordinate between `golden` and what `encoder` gives."""
    return _largest(_again(encoder, golden) - golden.vectors)


def golden_cosine(encoder: Encoder, golden: Golden) -> float:
    """Return the smallest cosine between `golden` and what `encoder` gives; 0 to a zero vector."""
    return float(cosines(_again(encoder, golden), golden.vectors).min())


def cosines(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the cosine of each row of one and that of the other; 0 to a zero vector."""
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    dots: NDArray[np.float64] = (a * b).sum(1)
    near: NDArray[np.float64] = np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
    return near


def _again(encoder: Encoder, golden: Golden) -> NDArray[np.float32]:
    """Return the vectors that `encoder` gives to the golden texts."""
    texts = [encoder.prompt(None) + text for text in golden.texts]
    vectors = np.empty_like(golden.vectors)
    encoder.engine.encode([Window(texts, vectors)], BATCH_TOKENS, lambda _: None)
    return vectors


def _largest(difference: NDArray[np.float32]) -> float:
    return float(np.abs(difference).max(initial=0)) if np.isfinite(difference).all() else math.inf
