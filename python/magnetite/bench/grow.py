"""A larger set of vectors that is as hard to search as the one it was grown from.

    python -m magnetite.bench.grow vectors.npy queries.npy OUT [--rows 1000000] [--seed 0]

Each new vector is a real one, moved: normalise(x + s·e), where e has the covariance of x's cell of
a k-means (shrunk towards that of all cells; its strongest directions, the rest isotropic), and s
makes the median cosine of a clone and its source that of a real vector and its nearest other. The
real vectors are kept, the rows shuffled. For questions of scale only: it is synthetic.

OUT gets vectors.npy (float16), queries.npy and truth.npy (the 100 nearest of each query, exactly),
as `magnetite bench dense` reads them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from magnetite.bench.data import TRUTH, Floats, Found, normalized
from magnetite.index import Index

CELLS = 1_024
PASSES = 10
STRONGEST = 48  # directions of a cell's covariance that are kept
SHRINK = 100  # rows that a cell needs to count as much as all of them
CHUNK = 1 << 16
SAMPLE = 2_000  # rows that the step is found on


@dataclass(frozen=True)
class Cells:
    """Where the real vectors are dense, and which way."""

    of: NDArray[np.int64]  # [n]: each row's cell
    directions: Floats  # [cells, dim, STRONGEST]: orthonormal
    spreads: Floats  # [cells, STRONGEST]: standard deviation along them
    rest: Floats  # [cells]: standard deviation along any other

    def noise(self, cell: int, normal: Floats) -> Floats:
        """Return standard normal rows with the covariance of `cell`."""
        along = normal @ self.directions[cell]
        along *= self.spreads[cell] - self.rest[cell]
        moved: Floats = self.rest[cell] * normal + along @ self.directions[cell].T
        return moved


def cells(vectors: Floats, rng: np.random.Generator) -> Cells:
    """Return cells of unit rows and their covariances."""
    count = min(CELLS, len(vectors) // 20)
    of = _means(vectors, count, rng)
    dim, kept = vectors.shape[1], min(STRONGEST, vectors.shape[1] - 1)
    sums = np.zeros((count, dim, dim), dtype=np.float32)
    sizes = np.bincount(of, minlength=count)
    for cell in range(count):
        rows = vectors[of == cell]
        rows = rows - rows.mean(axis=0) if len(rows) else rows
        sums[cell] = rows.T @ rows
    pooled = sums.sum(axis=0, dtype=np.float64) / len(vectors)
    directions = np.empty((count, dim, kept), dtype=np.float32)
    spreads = np.empty((count, kept), dtype=np.float32)
    rest = np.empty(count, dtype=np.float32)
    for cell, size in enumerate(sizes):
        part = size / (size + SHRINK)
        covariance = part * sums[cell] / max(size, 1) + (1 - part) * pooled
        values, vectors_of = np.linalg.eigh(covariance)
        strongest = values[-kept:].clip(min=0)
        directions[cell], spreads[cell] = vectors_of[:, -kept:], np.sqrt(strongest)
        rest[cell] = np.sqrt(max(values[:-kept].mean(), 0.0))
    return Cells(of, directions, spreads, rest)


def _means(vectors: Floats, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the nearest of `count` means for each unit row, after some passes of k-means."""
    means = vectors[rng.choice(len(vectors), count, replace=False)]
    for _ in range(PASSES):
        of = _assigned(vectors, means)
        order = np.argsort(of, kind="stable")
        sizes = np.bincount(of, minlength=count)
        filled = np.flatnonzero(sizes)
        starts = np.concatenate([[0], np.cumsum(sizes)])[filled]
        means = means.copy()
        means[filled] = np.add.reduceat(vectors[order], starts) / sizes[filled, None]
    return _assigned(vectors, means)


def _assigned(vectors: Floats, means: Floats) -> NDArray[np.int64]:
    half = (means**2).sum(axis=1) / 2
    parts = [
        (vectors[start : start + 8_192] @ means.T - half).argmax(axis=1)
        for start in range(0, len(vectors), 8_192)
    ]
    return np.concatenate(parts)


def clones(vectors: Floats, found: Cells, source: Any, step: float, rng: Any) -> Floats:
    """Return the rows `source` of `vectors`, each moved by `step` within its cell's shape."""
    normal = rng.standard_normal((len(source), vectors.shape[1]), dtype=np.float32)
    moved = np.empty_like(normal)
    of = found.of[source]
    for cell in np.unique(of):
        own = of == cell
        moved[own] = vectors[source[own]] + step * found.noise(cell, normal[own])
    return normalized(moved)


def step_for(vectors: Floats, found: Cells, rng: np.random.Generator) -> tuple[float, float]:
    """Return the step, and the median cosine of a real row and its nearest other."""
    some = np.sort(rng.choice(len(vectors), min(SAMPLE, len(vectors)), replace=False))
    hits = Index.build(vectors, kind="flat").search(vectors[some], 2)
    wanted = float(np.median(hits.scores[:, 1]))
    low, high = 0.0, 8.0
    for _ in range(20):
        step = (low + high) / 2
        moved = clones(vectors, found, some, step, np.random.default_rng(1))
        near = float(np.median((moved * vectors[some]).sum(axis=1))) > wanted
        low, high = (step, high) if near else (low, step)
    return step, wanted


def grown(vectors: Floats, rows: int, seed: int) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """Yield places in the grown set and their rows, the real ones first."""
    rng = np.random.default_rng(seed)
    found = cells(vectors, rng)
    step, wanted = step_for(vectors, found, rng)
    click.echo(f"step {step:.3f}: median cosine of clone and source {wanted:.3f}")
    places = rng.permutation(rows)
    yield places[: len(vectors)], vectors
    for start in range(len(vectors), rows, CHUNK):
        own = places[start : start + CHUNK]
        source = rng.integers(len(vectors), size=len(own))
        yield own, clones(vectors, found, source, step, rng)


def truth(vectors: NDArray[np.float16], queries: Floats, threads: int) -> Found:
    """Return the nearest rows of each query; holds a part of the rows at a time."""
    best_ids = np.empty((len(queries), 0), dtype=np.int64)
    best = np.empty((len(queries), 0), dtype=np.float32)
    for start in range(0, len(vectors), 4 * CHUNK):
        part = normalized(vectors[start : start + 4 * CHUNK])
        index = Index.build(part, kind="flat", threads=threads)
        hits = index.search(queries, min(TRUTH, len(part)), threads=threads)
        best_ids = np.concatenate([best_ids, hits.ids + start], axis=1)
        best = np.concatenate([best, hits.scores], axis=1)
        order = np.argsort(-best, axis=1, kind="stable")[:, :TRUTH]
        best = np.take_along_axis(best, order, axis=1)
        best_ids = np.take_along_axis(best_ids, order, axis=1)
    return best_ids


@click.command()
@click.argument("vectors", type=click.Path(exists=True, path_type=Path))
@click.argument("queries", type=click.Path(exists=True, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--rows", default=1_000_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", default=2, show_default=True)
def main(vectors: Path, queries: Path, out: Path, rows: int, seed: int, threads: int) -> None:
    """Grow VECTORS to a larger set in the folder OUT, with exact answers for QUERIES."""
    real, asked = normalized(np.load(vectors)), normalized(np.load(queries))
    out.mkdir(parents=True, exist_ok=True)
    shape = (rows, real.shape[1])
    base = np.lib.format.open_memmap(out / "vectors.npy", "w+", np.float16, shape)
    for places, some in grown(real, rows, seed):
        base[places] = some
    base.flush()
    np.save(out / "queries.npy", asked)
    click.echo(f"{rows:,} rows; looking for the nearest of {len(asked):,} queries")
    np.save(out / "truth.npy", truth(base, asked, threads).astype(np.int32))


if __name__ == "__main__":
    main()
