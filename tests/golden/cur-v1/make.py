"""Write the golden index by a scorer of this format version: python tests/golden/cur-v1/make.py

Once, when a version of the format is fixed; a later version opens it and never writes it again.
`hits.json` keeps what a search must return.
"""

import json
import shutil
from pathlib import Path

import numpy as np

from magnetite.index import CurIndex

HERE = Path(__file__).parent
ANCHORS = ["alpha", "beta gamma", "délta", "ab\ud800"]


def score(query: str, items: list[str]) -> list[float]:
    """Return numbers that any machine makes alike."""
    return [sum(map(ord, f"{query}|{item}")) * 37 % 1009 / 4 for item in items]


def texts(first: int, count: int) -> list[str]:
    """Return items."""
    return [f"item é{place} of them {'x' * (place % 7)}" for place in range(first, first + count)]


def hits(index: CurIndex) -> dict[str, list[list[object]]]:
    """Return what a search finds."""
    found = index.search(["a question", "beta"], 5, 24, score=score)
    return {"ids": found.ids.tolist(), "scores": found.scores.tolist()}


def main() -> None:
    """Create, delete, add; then note what is found."""
    folder = HERE / "index"
    shutil.rmtree(folder, ignore_errors=True)
    items = texts(0, 40)
    rows = np.array([score(query, items) for query in ANCHORS]).T
    index = CurIndex.create(
        folder,
        rows,
        [f"n{place:02}" for place in range(40)],
        items=items,
        method="adacur",
        scorer="judge-1",
        encoder="encoder-1",
        queries=ANCHORS,
        arrays={"of_scores": np.eye(len(ANCHORS))},
        settings={"rounds": 3},
    )
    index.delete([f"n{place:02}" for place in range(3, 9)])
    index.add(texts(40, 6), [f"n{place:02}" for place in range(40, 46)], score=score)
    index.configure(ridge=0.001)
    index.close()
    (folder / "factors" / "LOCK").unlink()
    (HERE / "hits.json").write_text(json.dumps(hits(index)) + "\n")


if __name__ == "__main__":
    main()
