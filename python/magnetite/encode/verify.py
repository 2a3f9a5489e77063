"""Whether a sealed encoder gives the same vectors on this machine as where it was sealed."""

import math
import os
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from magnetite.encode.artifact import CROSS_ENCODER, GOLDEN, Artifact
from magnetite.encode.cross_encoder import CrossEncoder
from magnetite.encode.encoder import BUILTIN, Encoder
from magnetite.encode.engines import BATCH_TOKENS, Window
from magnetite.encode.golden import Golden

BOUND = 1e-4
"""Largest difference a coordinate may show; docs/numerics.md derives what is to be expected.

Scores have no length: theirs is this share of the largest golden one, if that is above 1.
"""


@dataclass(frozen=True)
class Report:
    """What `verify` found; its checks of the files raise before there is one."""

    directory: str
    fingerprint: str
    texts: int
    deviation: dict[str, float]
    """Largest difference per coordinate from the golden vectors, by engine."""
    bound: float = BOUND

    @property
    def ok(self) -> bool:
        """Whether every engine stayed within the bound."""
        return all(deviation <= self.bound for deviation in self.deviation.values())

    def __str__(self) -> str:
        found = ", ".join(f"{engine} {value:.1e}" for engine, value in self.deviation.items())
        verdict = "verified" if self.ok else "NOT the vectors it was sealed with"
        return (
            f"{self.directory}: {verdict}; {self.texts} texts, "
            f"max |Δ| {found}, bound {self.bound:.1g}"
        )


def verify(
    directory: str | os.PathLike[str] | None = None, *, threads: int | None = None
) -> Report:
    """Return how far the golden vectors, computed again on this CPU, are from the sealed ones.

    A static artifact is run by both of its engines: Rust, and ONNX Runtime on the same weights.

    Raises:
        FormatError: A file is missing, truncated or changed.
    """
    artifact = Artifact.load(BUILTIN if directory is None else directory)
    if artifact.manifest.kind == CROSS_ENCODER:
        return _verify_scores(CrossEncoder(artifact, threads=threads))
    encoder = Encoder(artifact, threads=threads)
    golden = Golden.read(artifact.directory / GOLDEN, encoder.dim)
    deviation = {artifact.manifest.engine: largest_difference(encoder, golden)}
    if artifact.manifest.engine != "onnx":
        twin = replace(artifact, manifest=replace(artifact.manifest, engine="onnx"))
        deviation["onnx"] = largest_difference(Encoder(twin, threads=threads), golden)
    return Report(str(artifact.directory), encoder.fingerprint, len(golden.texts), deviation)


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
    texts = [encoder.prompt(None) + text for text in golden.texts]
    vectors = np.empty_like(golden.vectors)
    encoder.engine.encode([Window(texts, vectors)], BATCH_TOKENS, lambda _: None)
    return _largest(vectors - golden.vectors)


def _largest(difference: NDArray[np.float32]) -> float:
    return float(np.abs(difference).max(initial=0)) if np.isfinite(difference).all() else math.inf
