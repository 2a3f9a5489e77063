"""How fast is vector search beside faiss-cpu, at the same quality, in one interleaved run?

    python benches/python/dense.py [--vectors FILE.npy --queries FILE.npy] [--json FILE]

Without files: ../shared/data/prose if it is there, else rows around random centres. Each system
is swept for its fastest setting that reaches the recall wanted; then all are timed in turns, five
times, and the medians kept.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from magnetite.index import Index

Floats = NDArray[np.float32]
Found = NDArray[np.int64]
Search = Callable[[Floats, int], Found]  # queries, threads -> ids

K = 10
ROUNDS = 5
PROSE = Path(__file__).parents[3] / "shared" / "data" / "prose"


@dataclass(frozen=True)
class Row:
    """One measurement."""

    work: str  # exact, or recall@10 >= what was wanted
    system: str
    version: str
    settings: str
    n: int
    dim: int
    threads: int
    batch: int  # queries in a call
    quality: float  # recall@10 against exact search
    rate: float = 0.0  # queries per second
    p50: float = 0.0  # seconds a call
    p99: float = 0.0
    bytes: int = 0  # the index on disk
    build_s: float = 0.0
    ratio: float = 0.0  # our rate / the best peer's at this work, threads and batch


@dataclass(frozen=True)
class System:
    """An index that was built, and its settings from fast to thorough."""

    name: str
    version: str
    shape: tuple[int, int]  # rows, columns
    bytes: int
    build_s: float
    settings: Callable[[], Iterator[tuple[str, Search]]]


def main() -> None:
    """Build, sweep, time, print."""
    options = parse()
    vectors, queries = load(options)
    exact = magnetite_system(vectors, "flat", options.threads[-1])
    _, search = next(exact.settings())
    truth = search(queries, options.threads[-1])
    peers = [exact, faiss_system(vectors, "Flat", options.threads[-1])]
    rows = measure("exact", peers, queries, truth, 1.0 - 1e-3, options)
    lists = [
        magnetite_system(vectors, "ivf", options.threads[-1]),
        faiss_system(vectors, faiss_factory(len(vectors), vectors.shape[1]), options.threads[-1]),
    ]
    for recall in options.recalls:
        rows += measure(f"recall@10 >= {recall}", lists, queries, truth, recall, options)
    if options.json:
        options.json.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=Path, help="rows to search, a .npy file")
    parser.add_argument("--queries", type=Path, help="queries, a .npy file")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 1000])
    parser.add_argument("--recalls", type=float, nargs="+", default=[0.95, 0.99])
    parser.add_argument("--json", type=Path, help="write one JSON line a measurement")
    return parser.parse_args()


def load(options: argparse.Namespace) -> tuple[Floats, Floats]:
    """Return vectors and queries, each divided by its length."""
    if options.vectors:
        vectors = np.load(options.vectors)
        queries = np.load(options.queries) if options.queries else vectors[:: len(vectors) // 2000]
    elif PROSE.is_dir():
        vectors, queries = np.load(PROSE / "base.f16.npy"), np.load(PROSE / "query.f16.npy")[:2000]
    else:
        rng = np.random.default_rng(0)
        centres = 1.5 * rng.standard_normal((500, 384))
        near = centres[rng.integers(500, size=102_000)] + rng.standard_normal((102_000, 384))
        vectors, queries = near[:100_000], near[100_000:]
    return normalized(vectors), normalized(queries)


def normalized(rows: NDArray[Any]) -> Floats:
    """Return rows of length 1, for which dot, cosine and l2 agree."""
    wide = rows.astype(np.float32)
    return np.ascontiguousarray(wide / np.linalg.norm(wide, axis=1, keepdims=True))


def magnetite_system(vectors: Floats, kind: str, threads: int) -> System:
    """Our index."""
    start = time.perf_counter()
    index = Index.build(vectors, kind="flat" if kind == "flat" else "ivf", threads=threads)
    build_s = time.perf_counter() - start
    with TemporaryDirectory() as folder:
        index.save(folder)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())

    def settings() -> Iterator[tuple[str, Search]]:
        if index.lists is None:
            yield "", lambda queries, threads: index.search(queries, K, threads=threads).ids
            return
        for part in (0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16, 0.2, 0.24, 0.3, 0.4):
            for rescore in (40, 100, 200, 300):
                probes = max(1, round(part * index.lists))

                def search(
                    queries: Floats, threads: int, probes: int = probes, rescore: int = rescore
                ) -> Found:
                    hits = index.search(queries, K, probes=probes, rescore=rescore, threads=threads)
                    return hits.ids

                yield f"probes={probes} rescore={rescore}", search

    name = f"magnetite {kind}" + (f" lists={index.lists}" if index.lists else "")
    return System(name, metadata.version("magnetite"), vectors.shape, size, build_s, settings)


def faiss_factory(n: int, dim: int) -> str:
    """The peer's best on real vectors of this size: lists, 4-bit codes, exact re-scoring."""
    lists = 512 if n < 300_000 else 2048
    return f"IVF{lists},PQ{dim // 4}x4fs,RFlat"


def faiss_system(vectors: Floats, factory: str, threads: int) -> System:
    """The peer."""
    faiss.omp_set_num_threads(threads)
    start = time.perf_counter()
    index: Any = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    build_s = time.perf_counter() - start
    size = len(faiss.serialize_index(index))

    def chosen(probes: int, k_factor: int) -> Search:
        def search(queries: Floats, threads: int) -> Found:
            faiss.omp_set_num_threads(threads)
            if factory != "Flat":
                lists: Any = faiss.downcast_index(index.base_index)
                lists.nprobe = probes
                index.k_factor = k_factor
            found: Found = index.search(queries, K)[1]
            return found

        return search

    def settings() -> Iterator[tuple[str, Search]]:
        if factory == "Flat":
            yield "", chosen(0, 0)
            return
        for probes in (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384):
            for k_factor in (4, 10, 20, 30):
                yield f"nprobe={probes} k_factor={k_factor}", chosen(probes, k_factor)

    return System(f"faiss {factory}", faiss.__version__, vectors.shape, size, build_s, settings)


def measure(
    work: str,
    systems: list[System],
    queries: Floats,
    truth: Found,
    wanted: float,
    options: argparse.Namespace,
) -> list[Row]:
    """Time the fastest setting of each system that reaches `wanted`, in turns."""
    chosen = []
    for system in systems:
        found = fastest(system, queries, truth, wanted, options.threads[0])
        if found is None:
            print(f"{work}: {system.name} does not reach it in this sweep")
            continue
        chosen.append((system, *found))
    rows = []
    for threads in options.threads:
        for batch in options.batches:
            calls = [queries[i : i + batch] for i in range(0, len(queries) - batch + 1, batch)]
            calls = calls[: 500 if batch == 1 and work != "exact" else 100 if batch == 1 else 2]
            times: list[list[list[float]]] = [[] for _ in chosen]
            for _ in range(ROUNDS):
                for (_, _, search, _), kept in zip(chosen, times, strict=True):
                    kept.append([clock(search, call, threads) for call in calls])
            some = [
                timed(system, setting, quality, work, threads, batch, kept)
                for (system, setting, _, quality), kept in zip(chosen, times, strict=True)
            ]
            peer = max((row.rate for row in some[1:]), default=0.0)
            rows += [replace(row, ratio=row.rate / peer if peer else 0.0) for row in some[:1]]
            rows += some[1:]
            for row in rows[-len(some) :]:
                show(row)
    return rows


def fastest(
    system: System, queries: Floats, truth: Found, wanted: float, threads: int
) -> tuple[str, Search, float] | None:
    """Return the setting of the sweep that reaches `wanted` in the least processor time."""
    best: tuple[float, tuple[str, Search, float]] | None = None
    for setting, search in system.settings():
        start = time.process_time()
        ids = search(queries, threads)
        taken = time.process_time() - start
        quality = float((ids[:, :, None] == truth[:, None, :]).any(axis=2).mean())
        if quality >= wanted and (best is None or taken < best[0]):
            best = taken, (setting, search, quality)
        if best is not None and taken > 3 * best[0]:
            break  # the rest looks at more
    return None if best is None else best[1]


def clock(search: Search, queries: Floats, threads: int) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    search(queries, threads)
    return time.perf_counter() - start


def timed(
    system: System,
    setting: str,
    quality: float,
    work: str,
    threads: int,
    batch: int,
    rounds: list[list[float]],
) -> Row:
    """Return the row of one system: medians over the rounds."""
    totals = [sum(calls) for calls in rounds]
    seconds = float(np.median(totals)) / (len(rounds[0]) * batch)
    each = np.array(rounds)
    return Row(
        work=work,
        system=system.name,
        version=system.version,
        settings=setting,
        n=system.shape[0],
        dim=system.shape[1],
        threads=threads,
        batch=batch,
        quality=quality,
        rate=1 / seconds,
        p50=float(np.median(each)),
        p99=float(np.quantile(each, 0.99)),
        bytes=system.bytes,
        build_s=system.build_s,
    )


def show(row: Row) -> None:
    """Print one row."""
    ratio = f"  ratio {row.ratio:.2f}" if row.ratio else ""
    print(
        f"{row.work:18} {row.system:32} {row.settings:26} {row.threads}T batch {row.batch:5} "
        f"recall {row.quality:.4f} {row.rate:10,.0f}/s p50 {row.p50 * 1e6:9,.0f} us "
        f"p99 {row.p99 * 1e6:9,.0f} us {row.bytes / 1e6:6.0f} MB build {row.build_s:6.1f} s{ratio}",
        flush=True,
    )


if __name__ == "__main__":
    main()
