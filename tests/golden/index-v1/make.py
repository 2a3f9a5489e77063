"""Write the golden indexes of this format version: python tests/golden/index-v1/make.py

Once, when a version of the format is fixed; a later version opens them and never writes them again.
`hits.json` keeps what a search must return, scores by their bits.
"""

import json
import shutil
from pathlib import Path

import numpy as np

from magnetite.index import Index

HERE = Path(__file__).parent
KINDS = {"flat": {"kind": "flat", "storage": "f32"}, "ivf": {"kind": "ivf", "lists": 4}}


def rows(count: int, seed: int) -> np.ndarray:
    """Return vectors that any machine makes alike: whole numbers, halved."""
    return np.random.default_rng(seed).integers(-8, 9, (count, 8)).astype(np.float32) / 2


def main() -> None:
    """Build, delete, add, save; then note what is found."""
    found = {}
    for name, options in KINDS.items():
        for ids in ("numbers", "text"):
            folder = HERE / f"{name}-{ids}"
            shutil.rmtree(folder, ignore_errors=True)
            called = np.arange(5, 45) if ids == "numbers" else [f"é{i}" for i in range(40)]
            index = Index.build(rows(40, 0), called, metric="l2", **options)
            index.delete(called[3:9])
            index.add(rows(6, 1), np.arange(100, 106) if ids == "numbers" else list("uvwxyz"))
            index.save(folder)
            (folder / "LOCK").unlink()
            hits = index.search(rows(3, 2), k=50, probes=4)
            found[folder.name] = {
                "ids": hits.ids.tolist(),
                "scores": hits.scores.view(np.uint32).tolist(),
                "counts": hits.counts.tolist(),
            }
    (HERE / "hits.json").write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
