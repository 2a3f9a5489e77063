"""What does a search by a slow scorer cost beside its scorer, and its scan beside reading once?

    python benches/python/cur_scan.py [--only rounds] [--folder FOLDER] [--json FILE]

Factors V = Rᵀ of a synthetic score matrix of anchor queries and items: V = G·diag(σ)·Q with G
normal, σ_i = i^(-decay) and Q orthogonal, so that all columns are as long, as columns of scores
are. Processor time of one thread; medians of several, taken by turns.

rounds: all of `CurIndex.search` but its scorer, at 10,000 items and 100 calls in five rounds,
    beside what a cross-encoder takes for 100 pairs at `--pairs-s`.
scan: the 20 best of a million items by exact indexes that keep factors as f32, f16 and int8,
    beside reading what they keep once. Queries are u regressed on 100 sampled rows, whose scores
    have noise.
lists: the same queries through lists, codes and int8 rows, one after the other; recall is that of
    the exact index.

What was made lies in FOLDER for the next run: some 5 GB at a million items.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import click
import numpy as np
from numpy.typing import NDArray

from magnetite._core import CurSolver
from magnetite.index import CurIndex, Index
from magnetite.index.cur.tune import Stored

Floats = NDArray[np.float32]
#: Results of a scan, rows that a query is regressed on, items and calls of a search by rounds.
K, SAMPLED, SMALL, CALLS = 20, 100, 10_000, 100
BLOCK = 50_000
BYTES: dict[Literal["f32", "f16", "int8"], int] = {"f32": 4, "f16": 2, "int8": 1}


@dataclass(frozen=True)
class Row:
    """One measurement."""

    work: str
    """rounds, scan or lists"""
    setting: str
    n: int
    dim: int
    queries: int
    """In a call."""
    ms: float
    """Processor time of one thread for each query."""
    beside: float
    """rounds: part of the scorer's time. scan: the whole call over reading once. lists: times as
    fast as the exact f32 index for one query."""
    recall: float = 1.0


def make(folder: Path, items: int, anchors: int, decay: float) -> None:
    """Write factors."""
    folder.mkdir(parents=True, exist_ok=True)
    mixing = spectrum(anchors, decay)
    np.save(folder / "mixing.npy", mixing)
    shape = (items, anchors)
    rows = np.lib.format.open_memmap(folder / "v.npy", "w+", dtype=np.float32, shape=shape)
    rng = np.random.default_rng(0)
    for first in range(0, items, BLOCK):
        some = min(BLOCK, items - first)
        rows[first : first + some] = rng.standard_normal((some, anchors), dtype=np.float32) @ mixing
    rows.flush()


def spectrum(anchors: int, decay: float) -> Floats:
    """Return diag(σ)·Q."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(anchors, anchors)))[0]
    mixing: Floats = (np.arange(1, anchors + 1.0)[:, None] ** -decay * turn).astype(np.float32)
    return mixing


def opened(
    folder: Path, kind: Literal["flat", "ivf"], storage: Literal["f32", "f16", "int8"]
) -> Index:
    """Return the index of the factors, built if it is not there."""
    path = folder / f"{kind}-{storage}"
    if not (path / "MANIFEST").exists():
        start = time.process_time()
        Index.build(
            folder / "v.npy", kind=kind, storage=storage, path=path, memory_budget=2 << 30
        ).close()
        print(f"{path.name} built in {time.process_time() - start:.0f} s of the processor")
    return Index.open(path, "lazy")


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


def rounds(mixing: Floats, count: int, repeats: int, pairs_s: float) -> list[Row]:
    """Time searches whose scorer looks scores up."""
    rng = np.random.default_rng(2)
    dim = len(mixing)
    rows = rng.standard_normal((SMALL, dim), dtype=np.float32) @ mixing
    scorer = Stored(rng.standard_normal((count, dim), dtype=np.float32) @ mixing @ rows.T)
    scorer_s = CALLS / pairs_s
    found = []
    for storage in BYTES:
        index = CurIndex.create(None, rows, items=range(SMALL), storage=storage)
        sizes = (1, count)
        works: list[Callable[[], object]] = [
            partial(index.search, range(size), 10, CALLS, score=scorer, rounds=5, threads=1)
            for size in sizes
        ]
        for size, took in zip(sizes, spent(works, repeats), strict=True):
            each = took / size
            found.append(Row("rounds", storage, SMALL, dim, size, 1e3 * each, each / scorer_s))
            print(
                f"{storage}, {size} queries: {1e3 * each:.2f} ms each beside {1e3 * scorer_s:.0f}, "
                f"{each / scorer_s:.2%}",
                flush=True,
            )
    return found


def scan(folder: Path, queries: Floats, repeats: int) -> list[Row]:
    """Time exact indexes beside reading."""
    rows = np.load(folder / "v.npy", mmap_mode="r")
    dim = rows.shape[1]
    found = []
    for storage, width in BYTES.items():
        index = opened(folder, "flat", storage)
        part = rows[: len(rows) * width // 4]
        sizes = (1, 8, len(queries))
        works: list[Callable[[], object]] = [partial(reading, part)]
        works += [partial(index.search, queries[:size], K, threads=1) for size in sizes]
        reads, *took = spent(works, repeats)
        print(f"{storage}: reading {part.nbytes / 1e9:.1f} GB once takes {1e3 * reads:.0f} ms")
        for size, whole in zip(sizes, took, strict=True):
            found.append(
                Row("scan", storage, len(rows), dim, size, 1e3 * whole / size, whole / reads)
            )
            print(
                f"  {size} queries: {1e3 * whole / size:.1f} ms each, all {whole / reads:.2f} x "
                "reading",
                flush=True,
            )
    return found


def reading(rows: Floats) -> None:
    """Read every byte once: the fastest sum that NumPy has over whole words."""
    rows.reshape(-1).view(np.uint64).max()


def lists(folder: Path, queries: Floats, repeats: int) -> list[Row]:
    """Time a search through lists beside an exact one."""
    exact, quick = opened(folder, "flat", "f32"), opened(folder, "ivf", "int8")
    truth = exact.search(queries, K, threads=1).ids
    found = []
    for probes, rescore in ((4, 100), (8, 100), (16, 200), (32, 400)):
        through = partial(quick.search, k=K, probes=probes, rescore=rescore, threads=1)
        pairs = zip(through(queries).ids, truth, strict=True)
        recall = float(np.mean([len(set(a) & set(b)) / K for a, b in pairs]))
        one, took = spent([partial(exact.search, queries[:1], K, threads=1),
                           partial(alone, through, queries)], repeats)  # fmt: skip
        each = took / len(queries)
        setting = f"{probes} lists a segment of {quick.lists:,} in all, {rescore} rows"
        found.append(
            Row("lists", setting, len(exact), exact.dim, 1, 1e3 * each, one / each, recall)
        )
        print(
            f"{setting}: recall {recall:.3f}, {1e3 * each:.2f} ms, {one / each:.0f} x as fast as "
            "exact",
            flush=True,
        )
    return found


def alone(search: Callable[[Floats], object], queries: Floats) -> None:
    """Search for one query after the other."""
    for query in queries:
        search(query)


def spent(works: list[Callable[[], object]], repeats: int) -> list[float]:
    """Return the median processor time of each, taken by turns, without the first."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(repeats + 1):
        for work, own in zip(works, times, strict=True):
            start = time.process_time()
            work()
            own.append(time.process_time() - start)
    return [float(np.median(own[1:])) for own in times]


@click.command()
@click.option("--items", default=1_000_000, show_default=True)
@click.option("--anchors", default=500, show_default=True)
@click.option("--decay", default=0.75, show_default=True)
@click.option("--queries", "count", default=32, show_default=True)
@click.option("--repeats", default=5, show_default=True)
@click.option("--pairs-s", default=150.0, show_default=True, help="What the cross-encoder scores.")
@click.option("--only", type=click.Choice(["rounds", "scan", "lists"]))
@click.option("--folder", type=click.Path(path_type=Path))
@click.option("--json", "json_out", type=click.Path(path_type=Path))
def main(
    items: int,
    anchors: int,
    decay: float,
    count: int,
    repeats: int,
    pairs_s: float,
    only: str | None,
    folder: Path | None,
    json_out: Path | None,
) -> None:
    """Make what is not there, and time it."""
    found = []
    if only in (None, "rounds"):
        found += rounds(spectrum(anchors, decay), count, repeats, pairs_s)
    with TemporaryDirectory() as passing:
        place = folder or Path(passing)
        if only != "rounds":
            if not (place / "v.npy").exists():
                make(place, items, anchors, decay)
            rows = np.load(place / "v.npy", mmap_mode="r")
            queries = regressed(rows, np.load(place / "mixing.npy"), count)
        if only in (None, "scan"):
            found += scan(place, queries, repeats)
        if only in (None, "lists"):
            found += lists(place, queries, repeats)
    if json_out:
        json_out.write_text("".join(json.dumps(asdict(row)) + "\n" for row in found))


if __name__ == "__main__":
    main()
