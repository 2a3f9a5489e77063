"""What does the scan between two rounds cost: beside reading the factors once, and through lists?

    python benches/python/cur_scan.py [--items 1000000] [--anchors 500] [--folder FOLDER]

Factors V = Rᵀ of a synthetic score matrix of anchor queries and items: V = G·diag(σ)·Q with G
normal, σ_i = i^(-decay) and Q orthogonal, so that all columns are as long, as columns of scores
are. Of these an exact index in f32 and one with lists and int8 rows, in FOLDER, where they stay for
the next run. Queries are u regressed on 100 sampled rows, whose scores have noise; they look for
the 20 best, as a round does. Processor time of one thread, beside that of reading the factors once;
medians of several, taken by turns. Recall is that of the exact index.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
from numpy.typing import NDArray

from magnetite._core import CurSolver
from magnetite.index import Hits, Index

Floats = NDArray[np.float32]
K, SAMPLED = 20, 100
BLOCK = 50_000


def make(folder: Path, items: int, anchors: int, decay: float) -> None:
    """Write factors and build both indexes."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(anchors, anchors)))[0]
    mixing = (np.arange(1, anchors + 1.0)[:, None] ** -decay * turn).astype(np.float32)
    np.save(folder / "mixing.npy", mixing)
    shape = (items, anchors)
    rows = np.lib.format.open_memmap(folder / "v.npy", "w+", dtype=np.float32, shape=shape)
    for first in range(0, items, BLOCK):
        some = min(BLOCK, items - first)
        rows[first : first + some] = rng.standard_normal((some, anchors), dtype=np.float32) @ mixing
    rows.flush()
    for name, kind, storage in (("flat", "flat", "f32"), ("lists", "ivf", "int8")):
        start = time.process_time()
        Index.build(
            folder / "v.npy",
            kind=kind,  # type: ignore[arg-type]
            storage=storage,  # type: ignore[arg-type]
            path=folder / name,
            memory_budget=2 << 30,
        ).close()
        print(f"{name}: {time.process_time() - start:.0f} s of the processor", flush=True)


def regressed(rows: Floats, mixing: Floats, count: int) -> Floats:
    """Return u of queries, regressed on sampled rows of which their scores are known with noise."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(count):
        seen = rows[np.sort(rng.choice(len(rows), SAMPLED, replace=False))].astype(np.float64)
        # A query of the same kind as the anchor queries; noise a tenth of the scores' deviation.
        scores = seen @ (mixing.T.astype(np.float64) @ rng.normal(size=len(mixing)))
        scores += 0.1 * scores.std() * rng.normal(size=SAMPLED)
        solver = CurSolver(rows.shape[1], 1e-6, 0.0, 1e-6)
        solver.append(seen, scores)
        found.append(solver.solution())
    return np.array(found, dtype=np.float32)


def reading(rows: Floats) -> None:
    """Read every byte once: the fastest sum that NumPy has over whole words."""
    rows.reshape(-1).view(np.uint64).max()


@click.command()
@click.option("--items", default=100_000)
@click.option("--anchors", default=500)
@click.option("--decay", default=0.75)
@click.option("--queries", "count", default=32)
@click.option("--repeats", default=5)
@click.option("--folder", type=click.Path(path_type=Path))
def main(
    items: int, anchors: int, decay: float, count: int, repeats: int, folder: Path | None
) -> None:
    """Make factors and indexes of them, and time both against reading."""
    with TemporaryDirectory() as passing:
        place = folder or Path(passing)
        if not (place / "lists" / "MANIFEST").exists():
            make(place, items, anchors, decay)
        timed(place, count, repeats)


def timed(folder: Path, count: int, repeats: int) -> None:
    """Time both against reading."""
    rows = np.load(folder / "v.npy", mmap_mode="r")
    queries = regressed(rows, np.load(folder / "mixing.npy"), count)
    flat, lists = (Index.open(folder / name, "lazy") for name in ("flat", "lists"))
    truth = flat.search(queries, K, threads=1).ids
    works: list[Callable[[], object]] = [
        lambda: reading(rows),
        lambda: flat.search(queries[:1], K, threads=1),
        lambda: flat.search(queries, K, threads=1),
    ]
    reads, one, many = spent(works, repeats)
    print(f"{len(rows):,} x {rows.shape[1]}; reading once {1e3 * reads:.0f} ms")
    print(f"exact, one query: {1e3 * one:.0f} ms, {one / reads:.2f} x reading")
    print(f"exact, {count} queries: {1e3 * many / count:.0f} ms each, {many / reads:.2f} x reading")
    wanted = lists.lists or 0
    for probes in (2, 4, 8, 16, 32, 64, 128):
        for rescore in (100, 400):

            def through(some: Floats, p: int = probes, r: int = rescore) -> Hits:
                return lists.search(some, K, probes=p, rescore=r, threads=1)

            pairs = zip(through(queries).ids, truth, strict=True)
            recall = np.mean([len(set(a) & set(b)) / K for a, b in pairs])
            [took] = spent([partial(alone, through, queries)], repeats)
            print(
                f"{probes} of {wanted} lists a segment, {rescore} rows: recall {recall:.3f}, "
                f"{1e3 * took / count:.1f} ms, {one * count / took:.0f} x as fast as exact"
            )


def alone(search: Callable[[Floats], object], queries: Floats) -> None:
    """Search for one query after the other."""
    for query in queries:
        search(query)


def spent(works: list[Callable[[], object]], repeats: int) -> list[float]:
    """Return the median processor time of each, taken by turns."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(repeats + 1):
        for work, own in zip(works, times, strict=True):
            start = time.process_time()
            work()
            own.append(time.process_time() - start)
    return [float(np.median(own[1:])) for own in times]


if __name__ == "__main__":
    main()
