"""SciFact as it ships with the package; see scifact/LICENSE.md."""

from pathlib import Path

from magnetite.evaluate import Beir, Qrels, read_beir, split_by_training

FOLDER = Path(__file__).parent / "scifact"


def scifact(split: str = "test") -> Beir:
    """Return the abstracts with the claims and judgements of `test` (300) or `train` (809)."""
    return read_beir(FOLDER, split=split)


def groups(qrels: Qrels, training: Qrels) -> dict[str, list[str]]:
    """Return all test claims, those whose abstracts no training claim points to, the others."""
    parts = split_by_training(qrels, training)
    return {
        "all claims": list(qrels),
        "abstracts unseen by training claims": parts["unseen"],
        "abstracts seen by training claims": parts["seen"],
    }
