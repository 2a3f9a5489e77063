"""What a vector and a probe cost as an index grows, fitted, and what that makes of a billion.

    python benches/python/scale.py [--vectors vectors.npy --queries queries.npy]
        [--sizes 10000,100000,1000000] [--storage int8] [--recall 0.95] [--plot FILE.svg]

Without files: the prose set. Some of the vectors are indexed at each size. Times are of the
processor, one thread, so that other work does not count.
"""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import click
import numpy as np
from numpy.typing import NDArray

from magnetite.bench.data import Floats, nearest, normalized
from magnetite.extras import need
from magnetite.index import Index

PROSE = Path(__file__).parents[3] / "shared" / "data" / "prose"
Storage = Literal["f32", "f16", "int8"]
K = 10
PARTS = (0.004, 0.008, 0.016, 0.03, 0.06, 0.12, 0.25)  # of the lists that are probed
RESCORED = (40, 100, 200)
BILLION = 10**9


@dataclass(frozen=True)
class Size:
    """What was measured at one size."""

    n: int
    lists: int
    bytes: float  # a vector, on disk
    build_us: float  # processor time a vector
    codes: float  # scanned by a query at the recall wanted
    rows: float  # scored exactly
    query_us: float  # processor time
    recall: float
    ns_list: float  # fitted over all settings: a list ranked,
    ns_code: float  # a code scanned,
    ns_row: float  # a row scored exactly


def measured(vectors: Floats, queries: Floats, storage: Storage, wanted: float) -> Size:
    """Build, sweep, fit."""
    start = time.process_time()
    index = Index.build(vectors, kind="ivf", storage=storage, threads=1)
    build_s = time.process_time() - start
    with TemporaryDirectory() as folder:
        index.save(folder)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    truth = nearest(vectors, queries, K, 2)
    lists = index.lists or 1
    costs, times, found = [], [], []
    for part in PARTS:
        for rescore in RESCORED:
            probes = max(1, round(part * lists))
            index.search(queries[:50], K, probes=probes, rescore=rescore, threads=1)
            start = time.process_time()
            hits = index.search(queries, K, probes=probes, rescore=rescore, threads=1)
            taken = (time.process_time() - start) / len(queries)
            recall = float((hits.ids[:, :, None] == truth[:, None, :]).any(axis=1).mean())
            codes, rows = float(hits.cost.codes.mean()), float(hits.cost.rows.mean())
            costs.append((lists, codes, rows))
            times.append(taken)
            found.append((taken, recall, codes, rows))
    ns = _nonnegative(np.array(costs), np.array(times) * 1e9)
    able = [some for some in found if some[1] >= wanted] or [max(found, key=lambda some: some[1])]
    taken, recall, codes, rows = min(able)
    n = len(vectors)
    return Size(
        n, lists, size / n, build_s / n * 1e6, codes, rows, taken * 1e6, recall, *map(float, ns)
    )


def _nonnegative(costs: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the costs' prices, none below zero; relative errors count."""
    kept = list(range(costs.shape[1]))
    while True:
        scaled = costs[:, kept] / times[:, None]
        prices = np.linalg.lstsq(scaled, np.ones(len(times)), rcond=None)[0]
        if (prices >= 0).all():
            break
        kept.pop(int(prices.argmin()))
    out = np.zeros(costs.shape[1])
    out[kept] = prices
    return out


def power(sizes: Sequence[Size], name: str) -> tuple[float, float]:
    """Return a and b of value = a * n^b through the sizes."""
    x = np.log([size.n for size in sizes])
    y = np.log([max(getattr(size, name), 1e-9) for size in sizes])
    b, a = np.polyfit(x, y, 1) if len(sizes) > 1 else (0.0, y[0])
    return float(np.exp(a)), float(b)


def billion(sizes: Sequence[Size], shard: int) -> str:
    """Return what a billion vectors cost in shards of `shard` rows."""
    a, b = power(sizes, "codes")
    last, codes = sizes[-1], a * shard**b
    lists = last.lists * math.sqrt(shard / last.n)
    query_us = (last.ns_list * lists + last.ns_code * codes + last.ns_row * last.rows) / 1e3
    build_h = last.build_us * math.sqrt(shard / last.n) / 3.6e9  # a vector looks for its list
    shards = math.ceil(BILLION / shard)
    return (
        f"{shard:>13,} {shards:7,} {last.bytes * shard / 1e9:10.1f} {build_h * shard:10.2f} "
        f"{build_h * BILLION:10.0f} {query_us / 1e3:10.2f} {query_us * shards / 1e3:12.0f}"
    )


def plot(sizes: Sequence[Size], path: Path) -> None:
    """Draw build and query cost against n, with the fits."""
    matplotlib = need("matplotlib", extra="bench", purpose="a plot")
    figures = need("matplotlib.figure", extra="bench", purpose="a plot")
    style = {"svg.fonttype": "none", "svg.hashsalt": "magnetite", "font.size": 9}
    with matplotlib.rc_context(style):
        figure = figures.Figure(figsize=(9, 3.6), layout="constrained", facecolor="white")
        axes = figure.subplots(1, 2)
        for axis, name, title in zip(
            axes,
            ("build_us", "query_us"),
            ("build: us of processor a vector", "query: us of processor, one thread"),
            strict=True,
        ):
            a, b = power(sizes, name)
            n = np.array([size.n for size in sizes], dtype=float)
            wide = np.array([n[0], n[-1]])
            axis.plot(wide, a * wide**b, "--", color="#7f7f7f", label=f"{a:.3g} n^{b:.2f}")
            axis.plot(n, [getattr(size, name) for size in sizes], "o", color="#c1272d")
            axis.set(xscale="log", yscale="log", xlabel="vectors")
            axis.set_title(title, loc="left", fontsize=10)
            axis.grid(which="major", color="#dddddd", linewidth=0.6)
            axis.spines[["top", "right"]].set_visible(False)
            axis.legend(frameon=False)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


@click.command()
@click.option("--vectors", type=click.Path(path_type=Path), default=PROSE / "base.f16.npy")
@click.option("--queries", type=click.Path(path_type=Path), default=PROSE / "query.f16.npy")
@click.option("--sizes", default="10000,30000,100000", show_default=True)
@click.option("--storage", type=click.Choice(["f32", "f16", "int8"]), default="int8")
@click.option("--recall", default=0.95, show_default=True)
@click.option("--json", "json_out", type=click.Path(path_type=Path))
@click.option("--plot", "plot_out", type=click.Path(path_type=Path))
def main(
    vectors: Path,
    queries: Path,
    sizes: str,
    storage: Storage,
    recall: float,
    json_out: Path | None,
    plot_out: Path | None,
) -> None:
    """Measure, fit, extrapolate."""
    base = np.load(vectors, mmap_mode="r")
    asked = normalized(np.load(queries, mmap_mode="r")[:1_000])
    found = []
    print("        n  lists  B/vec build us   codes  rows query us")
    for count in map(int, sizes.split(",")):
        picks = np.sort(np.random.default_rng(0).choice(len(base), count, replace=False))
        size = measured(normalized(base[picks]), asked, storage, recall)
        found.append(size)
        print(
            f"{size.n:9,} {size.lists:6,} {size.bytes:6.0f} {size.build_us:8.1f} "
            f"{size.codes:7,.0f} {size.rows:5.0f} {size.query_us:8.1f}  "
            f"recall {size.recall:.4f}; ns: list {size.ns_list:.2f} code {size.ns_code:.2f} "
            f"row {size.ns_row:.0f}",
            flush=True,
        )
    for name in ("build_us", "codes", "query_us"):
        a, b = power(found, name)
        print(f"{name} = {a:.3g} n^{b:.3f}")
    print("rows a shard  shards   GB/shard build h/shard  h in all  ms/shard  cpu ms/query")
    for shard in (10**6, 10**7, 10**8):
        print(billion(found, shard))
    if json_out:
        json_out.write_text("".join(json.dumps(asdict(size)) + "\n" for size in found))
    if plot_out:
        plot(found, plot_out)


if __name__ == "__main__":
    main()
