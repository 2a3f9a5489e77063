"""Does `target_recall` keep its word, and for how much more than the least work?

    python benches/python/recall.py [--grown FOLDER] [--storage f32]

For each data set an index is tuned on half of the queries and searched with the others: their mean
recall, its 95 % lower bound (bootstrap over queries), the codes scanned beside the fewest of any
fixed setting that reaches the target on these very queries, and all work (codes + 32 a row scored
exactly) beside the least of any. Then 30 % of the rows are deleted, and all of it is asked again,
without tuning anew.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import click
import numpy as np
from numpy.typing import NDArray

from magnetite.bench import data
from magnetite.bench.data import Data, Floats, Found, normalized
from magnetite.index import Hits, Index

SHARED = Path(__file__).parents[3] / "shared" / "data"
TARGETS = (0.90, 0.95, 0.99)
K = 10


def sets(grown: Path | None) -> Iterator[Data]:
    """Yield every data set at hand."""
    if SHARED.is_dir():
        yield data.prose(SHARED / "prose")
        small = SHARED / "scifact_minilm_vectors"
        yield data.load(
            small / "embeddings_minilm_pca128.npy",
            small / "query_embeddings_minilm_128.npy",
            None,
            2,
        )
    yield data.centres(n=50_000, dim=128, threads=2)
    if grown is not None:
        yield data.load(
            grown / "vectors.npy", grown / "queries.npy", grown / "truth.npy", threads=2
        )


def recalls(hits: Hits, truth: Found) -> NDArray[np.float64]:
    """Return the recall of each query."""
    found: NDArray[np.float64] = (hits.ids[:, :, None] == truth[:, None, :K]).any(axis=1).mean(1)
    return found


def lower(values: NDArray[np.float64]) -> float:
    """Return the 95 % lower bound of the mean: bootstrap over queries."""
    rng = np.random.default_rng(0)
    picks = rng.integers(len(values), size=(2_000, len(values)))
    return float(np.quantile(values[picks].mean(axis=1), 0.05))


def cost(hits: Hits) -> tuple[float, float]:
    """Return codes a query, and codes with a row as 32."""
    codes, rows = float(hits.cost.codes.mean()), float(hits.cost.rows.mean())
    return codes, codes + 32 * rows


def fixed(index: Index, queries: Floats, truth: Found) -> list[tuple[float, float, float]]:
    """Return recall, cost and codes of many fixed settings."""
    lists = index.lists or 1
    probes = sorted({min(lists, max(1, round(1.15**step))) for step in range(55)})
    found = []
    for rescore in (20, 40, 60, 100, 160, 300):
        for some in probes:
            hits = index.search(queries, K, probes=some, rescore=rescore)
            codes, all_codes = cost(hits)
            found.append((float(recalls(hits, truth).mean()), all_codes, codes))
            if found[-1][0] > 0.9995:
                break
    return found


def report(name: str, index: Index, queries: Floats, truth: Found) -> None:
    """Print one line a target."""
    settings = fixed(index, queries, truth)
    for target in TARGETS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                hits = index.search(queries, K, target_recall=target)
        except ValueError as error:
            print(f"{name:34} {target:.2f}  refused: {error}", flush=True)
            continue
        each = recalls(hits, truth)
        codes, all_codes = cost(hits)
        able = [some for some in settings if some[0] >= target]
        least = min((some[1] for some in able), default=np.nan)
        fewest = min((some[2] for some in able), default=np.nan)
        bound = lower(each)
        print(
            f"{name:34} {target:.2f}  recall {each.mean():.4f}  lower bound {bound:.4f} "
            f"{'ok ' if bound >= target - 0.01 else 'LOW'}  codes {codes:9,.0f} "
            f"x{codes / fewest:.2f} of the fewest fixed, all work x{all_codes / least:.2f}",
            flush=True,
        )


@click.command()
@click.option("--grown", type=click.Path(exists=True, path_type=Path))
@click.option("--storage", type=click.Choice(["f32", "f16", "int8"]), default="f32")
def main(grown: Path | None, storage: Literal["f32", "f16", "int8"]) -> None:
    """Tune on half of the queries, ask the others."""
    for some in sets(grown):
        index = Index.build(some.vectors, kind="ivf", storage=storage)
        queries, truth = some.queries, some.truth
        index.tune(queries[::2])
        n = len(some.vectors)
        report(f"{some.name} {n:,}", index, queries[1::2], truth[1::2])
        gone = np.random.default_rng(1).choice(n, int(0.3 * n), replace=False)
        index.delete(gone)
        kept = np.setdiff1d(np.arange(n), gone)
        again = data.nearest(normalized(some.vectors[kept]), queries[1::2], K, 2)
        report(f"{some.name} 30 % deleted", index, queries[1::2], kept[again])


if __name__ == "__main__":
    main()
