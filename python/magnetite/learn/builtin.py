"""How the encoder that ships with the package is made: texts, teacher, training, sealing.

docs/builtin.md has the command, the licences and the figures.
"""

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from magnetite.learn.data import Data, Texts, TextTable
from magnetite.learn.encoders import StaticEncoder, Tower
from magnetite.learn.export import folder as folders
from magnetite.learn.export import seal_static
from magnetite.learn.objectives import principal
from magnetite.learn.recipes.static_distill import Config, StaticDistill
from magnetite.learn.train import Settings, train
from magnetite.text import Tokenizer, pack

DIM = 256
MAX_TOKENS = 2048
RARITY = 1e-3  # a token of this frequency starts with half the weight of the rarest
PROSE_LEFT_OUT = "dataset-sts"  # sentences without one open licence
TEXTS = {
    "prose/sentences.jsonl.gz, prose/paragraphs.jsonl.gz": (
        "Wikipedia by SQuAD 1.1 (CC BY-SA 4.0) and WikiText-2 (CC BY-SA 3.0), public-domain books, "
        "Python PEPs (CC0), Rust RFCs (MIT/Apache-2.0), Ethereum EIPs (CC0)"
    ),
    "prose/questions.jsonl.gz": "SQuAD 1.1 and 2.0 questions (CC BY-SA 4.0)",
    "wordnet/glosses.tsv.gz, wordnet/defsent_train.tsv.gz": (
        "Open English WordNet (CC BY 4.0, WordNet licence)"
    ),
}


def settings(seed: int = 0) -> Settings:
    """Return how the shipped encoder was trained."""
    return Settings(
        epochs=4, batch=1024, lr=5e-3, warmup=0.05, betas=(0.9, 0.99), clip=None, seed=seed
    )


def prose(folder: Path) -> tuple[list[str], Tensor]:
    """Return sentences and paragraphs with the teacher's vectors, which lie beside them."""
    rows = [*_jsonl(folder / "sentences.jsonl.gz"), *_jsonl(folder / "paragraphs.jsonl.gz")]
    keep = [number for number, row in enumerate(rows) if row["src"] != PROSE_LEFT_OUT]
    vectors = np.load(folder / "base.f16.npy")
    if len(vectors) != len(rows):
        raise ValueError(f"{folder}: {len(vectors)} vectors of {len(rows)} texts")
    return [rows[number]["text"] for number in keep], torch.from_numpy(vectors[keep])


def words_and_questions(data: Path) -> list[str]:
    """Return definitions, the words they define, and questions; each text once."""
    glosses = list(_tsv(data / "wordnet" / "glosses.tsv.gz"))
    defined = list(_tsv(data / "wordnet" / "defsent_train.tsv.gz"))
    known = {row["synset"] for row in glosses}
    words: dict[tuple[str, str], list[str]] = {}
    for row in defined:
        if row["synset"] not in known:
            words.setdefault((row["synset"], row["definition"]), []).append(row["word"])
    texts = [f"{row['members'].replace(';', ',')}: {row['definition']}" for row in glosses]
    texts += [f"{', '.join(same)}: {meaning}" for (_, meaning), same in words.items()]
    texts += [word.strip() for row in glosses for word in row["members"].split(";")]
    texts += [row["word"] for row in defined]
    texts += [row["q"] for row in _jsonl(data / "prose" / "questions.jsonl.gz")]
    return list(dict.fromkeys(texts))


@torch.inference_mode()
def vectors_of(teacher: Tower, tokenizer: Tokenizer, texts: Sequence[str]) -> Tensor:
    """Return the teacher's vector of each text."""  # [n, dim], float16
    tokens = tokenizer.encode_batch(texts, max_tokens=teacher.max_tokens)
    found = torch.empty(len(texts), teacher.dim, dtype=torch.float16)
    lengths = np.diff(tokens.starts)
    batches = pack(lengths, 8192, int(lengths.max()))
    with click.progressbar(batches, label="teacher") as shown:
        for rows, width in shown:
            ids, mask = tokens.fill(rows, width)
            vectors = F.normalize(teacher(torch.from_numpy(ids), torch.from_numpy(mask)), dim=-1)
            found[torch.from_numpy(np.asarray(rows))] = vectors.half()
    return found


@torch.inference_mode()
def vectors_of_tokens(teacher: Tower, tokenizer: Tokenizer, vocab: int) -> Tensor:
    """Return the teacher's vector of each token as a text of its own."""  # [vocab, dim]
    (first, last) = tokenizer.encode_batch([""]).ids.tolist()  # the two special tokens
    ids = torch.tensor([first, 0, last]).repeat(vocab, 1)
    ids[:, 1] = torch.arange(vocab)
    parts = [teacher(some, torch.ones_like(some)) for some in ids.split(1024)]
    return F.normalize(torch.cat(parts), dim=-1)


def without_special_tokens(tokenizer: Tokenizer) -> str:
    """Return the tokenizer's JSON, small, without template, truncation and padding."""
    about = json.loads(tokenizer.to_json())
    plain = {**about, "post_processor": None, "truncation": None, "padding": None}
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def student(of_tokens: Tensor, data: Data, tokenizer: Tokenizer) -> StaticEncoder:
    """Return the encoder before training: the teacher's tokens, rare ones weighing more."""
    column = data.tokenized(tokenizer, MAX_TOKENS).texts("text")
    if column.tokens is None:
        raise ValueError("the tokenizer gave no ids")
    count = torch.bincount(column.tokens.ids.long(), minlength=len(of_tokens)).float() + 1
    teacher = data["teacher"]
    if not isinstance(teacher, Tensor):
        raise TypeError("the teacher's vectors must be a tensor")
    table = (of_tokens - of_tokens.mean(0)) @ principal(teacher, DIM)[1].float()
    return StaticEncoder(
        table / table.norm(dim=1).mean(),
        RARITY / (RARITY + count / count.sum()),
        tokenizer=tokenizer,
        max_tokens=MAX_TOKENS,
    )


def provenance(run: Settings, config: Config, losses: Sequence[float]) -> dict[str, Any]:
    """Return what artifact.json says about where the weights come from."""
    return {
        "teacher": "sentence-transformers/all-MiniLM-L6-v2",
        "teacher_licence": "Apache-2.0",
        "licence": "Apache-2.0",
        "texts": TEXTS,
        "recipe": "static_distill",
        "config": asdict(config),
        "settings": {k: getattr(run, k) for k in ("epochs", "batch", "lr", "warmup", "seed")},
        "last_loss": round(sum(losses[-100:]) / max(len(losses[-100:]), 1), 4),
        "torch": torch.__version__.partition("+")[0],
    }


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--teacher", required=True, help="Folder or hub id of all-MiniLM-L6-v2.")
@click.option("--vectors", type=click.Path(path_type=Path), help="Where to keep the teacher's.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True)
def main(data: Path, teacher: str, vectors: Path | None, seed: int, out: Path) -> None:
    """Distil the built-in encoder from the texts under DATA and seal it in OUT.

    Most of the time goes to the teacher, who reads 108,625 words, definitions and questions; with
    --vectors FILE.npy its vectors are kept and read again next time.
    """
    read = folders.read(folders.find(teacher))
    tower = read.module.eval()
    if not isinstance(tower, Tower):
        raise click.UsageError(f"{teacher} is a cross-encoder; a teacher gives vectors")
    theirs = Tokenizer.from_json(read.tokenizer)
    tokenizer = Tokenizer.from_json(without_special_tokens(theirs))
    texts, known = prose(data / "prose")
    more = words_and_questions(data)
    if vectors is not None and vectors.exists():
        learnt = torch.from_numpy(np.load(vectors))
    else:
        learnt = vectors_of(tower, theirs, more)
        if vectors is not None:
            np.save(vectors, learnt.numpy())
    if len(learnt) != len(more):
        raise click.UsageError(f"{vectors} holds {len(learnt)} vectors of {len(more)} texts")
    table = TextTable()
    examples = Data(
        {
            "text": Texts(table, table.rows([*texts, *more])),
            "teacher": F.normalize(torch.cat([known, learnt]).float(), dim=1).half(),
        }
    )
    of_tokens = vectors_of_tokens(tower, theirs, len(json.loads(read.tokenizer)["model"]["vocab"]))
    method = StaticDistill(student(of_tokens, examples, tokenizer))
    run = settings(seed)
    outcome = train(method, examples, run)
    module = method.smoothed()
    about = provenance(run, method.config, outcome.losses)
    seal_static(module, tokenizer, out, max_tokens=MAX_TOKENS, provenance=about)


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _tsv(path: Path) -> Iterable[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        names = next(lines).rstrip("\n").split("\t")
        yield from (dict(zip(names, line.rstrip("\n").split("\t"), strict=True)) for line in lines)


if __name__ == "__main__":
    main()
