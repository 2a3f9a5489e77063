"""The encoder that ships with the package keeps what docs/builtin.md says of it."""

import json

import numpy as np

from magnetite.demo.data import scifact
from magnetite.encode import Encoder
from magnetite.encode.encoder import BUILTIN
from magnetite.learn.recipes.static_distill import Config


def test_the_artifact_is_at_most_10_mb():
    assert sum(path.stat().st_size for path in BUILTIN.iterdir()) <= 10_000_000


def test_the_artifact_says_where_it_comes_from():
    about = json.loads((BUILTIN / "artifact.json").read_text(encoding="utf-8"))["provenance"]
    assert about["recipe"] == "static_distill"
    assert about["teacher_licence"] == about["licence"] == "Apache-2.0"
    assert about["config"] == vars(Config())
    assert all("scifact" not in name for name in about["texts"])


def test_scifact_is_searched_well_without_having_been_seen():
    parts = [scifact("train"), scifact("test")]
    encoder, corpus = Encoder.load(), parts[0].corpus
    documents = encoder.encode_document(corpus.passages())
    gains = []
    for part in parts:
        names = list(part.queries)
        scores = encoder.encode_query([part.queries[name] for name in names]) @ documents.T
        for name, best in zip(
            names, np.argsort(-scores, axis=1, kind="stable")[:, :10], strict=True
        ):
            gains.append(
                ndcg([part.qrels[name].get(corpus.ids[i], 0) for i in best], part.qrels[name])
            )
    assert len(gains) == 1109
    assert np.mean(gains) >= 0.53


def ndcg(found, grades) -> float:
    def gain(ranked):
        return sum(grade / np.log2(rank + 2) for rank, grade in enumerate(ranked))

    return gain(found) / gain(sorted(grades.values(), reverse=True)[:10])


def test_like_texts_are_nearer_than_unlike_ones():
    encoder = Encoder.load()
    query, like, unlike = encoder.encode(
        ["how to sort a list", "ordering the items", "baking bread"]
    )
    assert float(query @ like) > float(query @ unlike) + 0.2
