"""Judges to search by: cross-encoders trained on three public sets, and their exact score matrices.

    python benches/python/judges.py train wordnet --out DIR     # resumes; seals DIR/wordnet/judge
    python benches/python/judges.py score wordnet --out DIR     # resumes; a file of scores a query
    python benches/python/judges.py pack wordnet --out DIR      # DIR/wordnet.npz of the rows so far
    python benches/python/judges.py search wordnet --out DIR    # by the queries that lack a row
    python benches/python/judges.py sample DIR/wordnet.npz SMALL.npz   # fewer items, for a test

Each judge begins as all-MiniLM-L6-v2 and is trained on negatives that MiniLM found; NCBI's
scores by the states of its markers, the others by the mean states of both sides.
The block's queries were not trained on; of wordnet, its items neither: another lexicographer file.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click
import numpy as np
from judge_sets import PLANS, SEED, Block, Plan, bare, block, mention, minilm
from numpy.typing import NDArray

from magnetite.encode import CrossEncoder, Encoder
from magnetite.evaluate import paired_bootstrap
from magnetite.index.cur import CurIndex
from magnetite.index.cur.tune import FOLDS, Stored

if TYPE_CHECKING:
    from magnetite.learn import Data


def train(plan: Plan, folder: Path, threads: int) -> None:
    """Train the judge of a set, or go on with it, and seal it."""
    import torch

    from magnetite import learn
    from magnetite.learn.export import export
    from magnetite.learn.recipes.cross_encoder import Config, CrossEncoding

    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    tower = learn.load(minilm())
    tower.max_tokens = plan.max_tokens
    for part in tower.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0  # a few hundred steps: nothing is learnt by heart
    config = Config(
        markers=plan.markers,
        in_text=plan.in_text,
        sides=plan.sides,
        negatives=plan.negatives,
        mining_depth=plan.depth,
    )
    settings = learn.Settings(
        epochs=plan.epochs,
        batch=plan.batch,
        lr=plan.lr,
        warmup=0.1,
        weight_decay=0.01,
        seed=SEED,
        out=folder / "run",
        resume=True,
        save_every=100,
    )
    method = CrossEncoding(tower, config)
    learn.train(method, examples(plan), settings)
    export(method.exports()["encoder"], folder / "judge", provenance={"set": folder.name})


def examples(plan: Plan) -> "Data":
    """Return one example for each query and item that fit, with all items to be mined."""
    import torch

    from magnetite.learn.data import ABSENT, Data, Texts, TextTable

    table = TextTable()
    queries, documents, relevant, corpus = [], [], [], []
    for found in plan.train():
        rows = dict(zip(found.items, table.rows(found.items.values()).tolist(), strict=True))
        corpus += (
            np.random.default_rng(SEED).permutation(list(rows.values()))[: plan.mined].tolist()
        )
        for name, fitting in found.fits.items():
            queries += [found.queries[name]] * len(fitting)
            documents += [rows[item] for item in fitting]
            relevant += [[rows[item] for item in fitting]] * len(fitting)
    chosen = np.random.default_rng(SEED).permutation(len(queries))[: plan.examples]
    width = max(map(len, relevant))
    padded = [relevant[row] + [ABSENT] * (width - len(relevant[row])) for row in chosen]
    return Data(
        {
            "query": Texts(table, table.rows(queries[row] for row in chosen)),
            "document": Texts(table, torch.tensor([documents[row] for row in chosen])),
            "relevant": torch.tensor(padded),
        },
        corpus=torch.tensor([*corpus, *(documents[row] for row in chosen)]).unique(),
    )


def score(plan: Plan, folder: Path, threads: int) -> None:
    """Score every query with every item, a file a query; what is there is kept."""
    judge, wanted = CrossEncoder.load(folder / "judge", threads), block(plan)
    rows = folder / "scores"
    rows.mkdir(exist_ok=True)
    about = rows / "judge.txt"
    if about.exists() and about.read_text() != judge.fingerprint:
        raise click.UsageError(f"{rows} was scored by another judge; remove it to begin anew")
    about.write_text(judge.fingerprint)
    items = [wanted.texts.items[item] for item in wanted.items]
    for place, query in enumerate(wanted.queries):
        path = rows / f"{place:04d}.npy"
        if path.exists():
            continue
        start = time.perf_counter()
        scores = judge.score(wanted.texts.queries[query], items)
        passing = path.with_suffix(".tmp")
        with passing.open("wb") as file:
            np.save(file, scores)
        passing.replace(path)
        rate = len(items) / (time.perf_counter() - start)
        click.echo(f"{folder.name}: query {place + 1} of {len(wanted.queries)}, {rate:.0f} pairs/s")


SAID = (
    *("items", "queries", "max_tokens", "epochs", "batch", "negatives", "depth", "lr"),
    *("markers", "sides"),
)


@dataclass(frozen=True)
class Known:
    """The rows there are, and what MiniLM says of all queries of the block."""

    wanted: Block
    scores: NDArray[np.float32]
    """What the judge says, [m, n]: of the first m queries."""
    vectors: dict[str, NDArray[np.float32]]
    """Of the queries, `encoder`, and of what is marked in them, `mention`; [queries, d] each."""
    items: NDArray[np.float32]
    hears: str
    """Which of the two the encoder is given: what it links more of the indexing queries by."""

    def dots(self, side: str) -> NDArray[np.float32]:
        """Return what the encoder says of all queries, [queries, n]."""
        return self.vectors[side] @ self.items.T


def indexing(rows: int) -> NDArray[np.bool_]:
    """Return which rows build an index; the others test it."""
    even: NDArray[np.bool_] = np.arange(rows) % 2 == 0
    return even


def known(plan: Plan, folder: Path) -> Known:
    """Return the rows there are."""
    wanted = block(plan)
    paths = [folder / "scores" / f"{place:04d}.npy" for place in range(len(wanted.queries))]
    there = next((n for n, path in enumerate(paths) if not path.exists()), len(paths))
    scores = np.stack([np.load(path) for path in paths[:there]])
    found = Known(wanted, scores, *encoded(wanted), "encoder")

    def linked(side: str) -> float:
        values = worth(found.dots(side), wanted.fits, plan.judged_at)
        return float(values[:there][indexing(there)].mean())

    return replace(found, hears=max(found.vectors, key=linked))


def pack(name: str, plan: Plan, folder: Path) -> Path:
    """Write one file of the rows there are, and what judge and encoder are worth on its labels."""
    found = known(plan, folder)
    there = len(found.scores)
    wanted = replace(found.wanted, queries=found.wanted.queries[:there])
    sides = {"judge": found.scores}
    sides |= {side: found.dots(side)[:there] for side in found.vectors}
    said: dict[str, object] = {}
    for k in (1, 10):
        values = {side: worth(scores, wanted.fits, k) for side, scores in sides.items()}
        said[f"nDCG@{k}"] = {side: float(value.mean()) for side, value in values.items()}
        said[f"nDCG@{k} of the judge over"] = {
            side: str(paired_bootstrap(values[side], values["judge"])) for side in found.vectors
        }
    recipe = {
        "judge": CrossEncoder.load(folder / "judge").fingerprint,
        "plan": {one.name: getattr(plan, one.name) for one in fields(plan) if one.name in SAID},
        "seed": SEED,
        **said,
        "queries' vectors": found.hears,
        "rank correlation": correlation(found.scores, sides[found.hears]),
        "energy in rank": energy(found.scores),
        "command": f"python benches/python/judges.py train|score|pack {name} --out DIR",
        "versions": {one: metadata.version(one) for one in ("torch", "onnxruntime", "numpy")},
    }
    out = folder.with_name(f"{name}.npz")
    np.savez_compressed(
        out,
        scores=found.scores,
        query_ids=np.array(wanted.queries),
        item_ids=np.array(wanted.items),
        queries=np.array([bare(wanted.texts.queries[query]) for query in wanted.queries]),
        items=np.array([bare(wanted.texts.items[item]) for item in wanted.items]),
        query_vectors=found.vectors[found.hears][:there],
        item_vectors=found.items,
        relevant=wanted.fits,
        indexing=indexing(there),
        recipe=json.dumps(recipe, indent=1),
    )
    click.echo(json.dumps(recipe, indent=1))
    return out


def encoded(wanted: Block) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float32]]:
    """Return MiniLM's vectors of queries, whole and of what is marked in them, and of items."""
    with TemporaryDirectory() as sealed:
        export_minilm(Path(sealed) / "minilm")
        encoder = Encoder.load(Path(sealed) / "minilm")
        asked = [wanted.texts.queries[query] for query in wanted.queries]
        vectors = {
            "encoder": encoder.encode([bare(text) for text in asked]),
            "mention": encoder.encode([mention(text) for text in asked]),
        }
        return vectors, encoder.encode([bare(wanted.texts.items[item]) for item in wanted.items])


class Asked:
    """The judge, asked by places in a block."""

    def __init__(self, judge: CrossEncoder, found: Known) -> None:
        self.judge = judge
        self.queries = [found.wanted.texts.queries[query] for query in found.wanted.queries]
        self.items = [found.wanted.texts.items[item] for item in found.wanted.items]

    def score(self, query: int, items: Sequence[int]) -> NDArray[np.float32]:
        """Return the scores of some items for one query."""
        return self.pairs([query] * len(items), items)

    def pairs(self, queries: Sequence[int], items: Sequence[int]) -> NDArray[np.float32]:
        """Return the scores of pairs."""
        asked = [self.queries[place] for place in queries]
        return self.judge.pairs(asked, [self.items[place] for place in items])


def search(plan: Plan, folder: Path, calls: int, threads: int) -> dict[str, str]:
    """Return what the judge is worth on all queries: it is searched by where there is no row.

    How many of the judge's best such a search finds is said of the queries that have rows, each
    quarter of them searched by factors of the others.
    """
    held, k = known(plan, folder), plan.judged_at
    scores, asked, wanted = held.scores, held.vectors[held.hears], held.wanted
    rows, more = np.arange(len(scores)), np.arange(len(scores), len(wanted.queries))
    if not len(more):
        raise click.UsageError("every query has its row; pack says what the judge is worth")

    def found(
        score: object, ours: NDArray[np.int64], theirs: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        items, encoder = range(len(held.items)), (asked[ours], held.items)
        index = CurIndex.build(Stored(scores[ours]), items, range(len(ours)), encoder=encoder)
        hits = index.search(theirs.tolist(), k, calls, score=score, vectors=asked[theirs])
        said = np.full((len(theirs), len(held.items)), -np.inf, np.float32)
        np.put_along_axis(said, hits.ids.astype(np.int64), hits.scores.astype(np.float32), 1)
        return said

    folds = np.array_split(rows, FOLDS)
    again = [found(Stored(scores), np.setdiff1d(rows, fold), fold) for fold in folds]
    best = np.argsort(-scores, 1, kind="stable")[:, :k]
    reached = np.isfinite(np.take_along_axis(np.concatenate(again), best, 1)).mean()
    judge = Asked(CrossEncoder.load(folder / "judge", threads), held)
    right = worth(np.concatenate([scores, found(judge, rows, more)]), wanted.fits, k)
    said = {f"judge's best {k} found": f"{reached:.3f} of {len(rows)}, with {calls} calls"}
    said |= {f"nDCG@{k}": f"{right.mean():.3f} on {len(right)} queries"}
    for side in held.vectors:
        value = worth(held.dots(side), wanted.fits, k)
        for which, some in (("all", slice(None)), ("those without a row", more)):
            difference = paired_bootstrap(value[some], right[some])
            said[f"over {side}, {which}"] = f"{value[some].mean():.3f}, {difference}"
    return said


def export_minilm(out: Path) -> None:
    """Seal the encoder that the judges begin as."""
    from magnetite.learn.export import export

    export(minilm(), out)


def worth(scores: NDArray[np.float32], fits: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Return nDCG@k of every query; at k = 1 that is linking accuracy."""
    found = np.zeros(len(scores))
    for row, line in enumerate(scores):
        fitting = fits[fits[:, 0] == row, 1]
        best = np.argsort(-line, kind="stable")[:k]
        gains = np.isin(best, fitting) / np.log2(np.arange(2, 2 + k))
        found[row] = gains.sum() / (1 / np.log2(np.arange(2, 2 + min(k, len(fitting))))).sum()
    return found


def correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the mean over queries of Spearman's rank correlation."""
    ranks = [np.argsort(np.argsort(side, 1), 1).astype(np.float64) for side in (one, other)]
    return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(*ranks, strict=True)]))


def energy(scores: NDArray[np.float32]) -> dict[str, float]:
    """Return the part of the squared scores in leading ranks, without what ranks nothing.

    That is each query's mean, and each item's, which a search knows before it asks.
    """
    apart = scores - scores.mean(0)
    values = np.linalg.svd(apart - apart.mean(1, keepdims=True), compute_uv=False) ** 2
    shares = values.cumsum() / values.sum()
    return {str(rank): float(shares[min(rank, len(shares)) - 1]) for rank in (1, 10, 50)}


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Judges and their score matrices; hours, so nothing runs without being asked for."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


_name = click.argument("name", type=click.Choice(list(PLANS)))
_out = click.option("--out", type=click.Path(path_type=Path), required=True)
_threads = click.option("--threads", default=1, show_default=True)


@main.command("train")
@_name
@_out
@_threads
def train_command(name: str, out: Path, threads: int) -> None:
    """Train and seal a judge; a stopped run is gone on with."""
    train(PLANS[name], out / name, threads)


@main.command("score")
@_name
@_out
@_threads
def score_command(name: str, out: Path, threads: int) -> None:
    """Score the block by the sealed judge; a stopped run is gone on with."""
    score(PLANS[name], out / name, threads)


@main.command("pack")
@_name
@_out
def pack_command(name: str, out: Path) -> None:
    """Write DIR/NAME.npz of the rows there are, and say what judge and encoder are worth."""
    click.echo(pack(name, PLANS[name], out / name))


@main.command("search")
@_name
@_out
@_threads
@click.option("--calls", default=200, show_default=True)
def search_command(name: str, out: Path, threads: int, calls: int) -> None:
    """Say what a judge is worth on all queries, searching by it for those without a row."""
    said = search(PLANS[name], out / name, calls, threads)
    click.echo(json.dumps(said, indent=1))


@main.command("sample")
@click.argument("block", type=click.Path(path_type=Path, exists=True))
@click.argument("small", type=click.Path(path_type=Path))
@click.option("--items", default=800, show_default=True)
def sample_command(block: Path, small: Path, items: int) -> None:
    """Write a block of fewer items, those that fit a query among them, without its texts."""
    with np.load(block) as file:
        held = {name: file[name] for name in file.files}
    count = len(held["item_ids"])
    fitting = np.unique(held["relevant"][:, 1])
    others = np.setdiff1d(np.random.default_rng(SEED).permutation(count), fitting)
    more = np.random.default_rng(SEED).permutation(others)[: max(0, items - len(fitting))]
    kept = np.sort(np.concatenate([fitting, more]))
    relevant = held["relevant"].copy()
    relevant[:, 1] = np.searchsorted(kept, relevant[:, 1])
    held |= {
        "scores": held["scores"][:, kept],
        "item_ids": held["item_ids"][kept],
        "items": held["item_ids"][kept],
        "queries": held["query_ids"],
        "query_vectors": held["query_vectors"].astype(np.float16),
        "item_vectors": held["item_vectors"][kept].astype(np.float16),
        "relevant": relevant,
    }
    np.savez_compressed(small, **held)


if __name__ == "__main__":
    main()
