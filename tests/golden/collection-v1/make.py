"""Write the golden collection of this format version: python tests/golden/collection-v1/make.py

Once, when a version of the format is fixed; a later version opens it and never writes it again.
`found.json` keeps its documents, and what a search must return, scores by their bits.
"""

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np

from magnetite.encode import Encoder
from magnetite.index import Collection, Document

HERE = Path(__file__).parent
ENCODER = HERE.parent / "artifact-v1" / "static"
WHERE = {"$or": [{"number": {"$lt": 6}}, {"tags": "even"}]}


def document(number: int) -> Document:
    """Return one whose metadata has every kind of value that JSON has."""
    tags = ["even" if number % 2 == 0 else "odd", "é"]
    metadata = {
        "number": number,
        "half": number / 2,
        "tags": tags,
        "none": None,
        "first": not number,
    }
    return Document(f"document {number}", "the magnet of iron " * (number + 1), "Iron", metadata)


def queries(dim: int) -> np.ndarray:
    """Return vectors that any machine makes alike: whole numbers."""
    return np.random.default_rng(2).integers(-8, 9, (3, dim)).astype(np.float32)


def found(collection: Collection, dim: int) -> list[list[tuple[str, int]]]:
    """Return ids, and scores by their bits, of every document that meets `WHERE`."""
    lists = collection.search_vectors(queries(dim), k=50, where=WHERE)
    bits = [[int(np.float32(one.score).view(np.uint32)) for one in some] for some in lists]
    return [
        [(one.document.id, bit) for one, bit in zip(some, of, strict=True)]
        for some, of in zip(lists, bits, strict=True)
    ]


def forget_model(database: Path) -> None:
    """Let it say of no machine's folder that the encoder lies there."""
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE collection SET about = json_set(about, '$.model', 'gone')")
    connection.execute("VACUUM")
    connection.close()


def main() -> None:
    """Create, delete, replace, add; then note what is there and what is found."""
    encoder = Encoder.load(ENCODER)
    folder = HERE / "static"
    shutil.rmtree(folder, ignore_errors=True)
    with Collection.create(folder, encoder) as collection:
        collection.add(document(number) for number in range(20))
        collection.delete([f"document {number}" for number in range(3, 7)])
        collection.upsert(
            [document(40), Document("document 2", "a magnet", metadata={"number": 2})]
        )
        told = {
            "documents": [(one.id, one.text, one.title, one.metadata) for one in collection],
            "found": found(collection, encoder.dim),
        }
    (folder / "vectors" / "LOCK").unlink()
    forget_model(folder / "documents.sqlite")
    (HERE / "found.json").write_text(json.dumps(told, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
