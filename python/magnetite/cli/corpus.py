"""Documents of a file, one at a time: what `magnetite index` reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from magnetite._core import FormatError
from magnetite.index import Document
from magnetite.lines import bad_row, found, json_rows, text_lines

_OWN = ("_id", "id", "title", "text")


def documents_of(path: Path) -> Iterator[Document]:
    """Yield the documents of a BEIR folder, a .jsonl file, or a text file with one in each line.

    A line of JSON has `_id` (or `id`) and `text`, perhaps `title`; what else it has is metadata,
    and so is what an object called `metadata` has. A line of text is called by its number.

    Raises:
        FormatError: A bad line, an id given twice, or no document at all.
    """
    path = found(path / "corpus.jsonl") if path.is_dir() else path
    is_json = path.name.removesuffix(".gz").endswith(".jsonl")
    lines: dict[str, int] = {}
    for number, document in _of_json(path) if is_json else _of_text(path):
        if document.id in lines:
            taken = f"id {document.id!r} is taken by line {lines[document.id]}"
            raise bad_row(path, number, taken)
        lines[document.id] = number
        yield document
    if not lines:
        wanted = 'one as {"_id", "title", "text"}' if is_json else "one"
        raise FormatError(f"{path}: no documents; each line holds {wanted}")


def _of_text(path: Path) -> Iterator[tuple[int, Document]]:
    for number, line in text_lines(path):
        yield number, Document(str(number), line)


def _of_json(path: Path) -> Iterator[tuple[int, Document]]:
    for number, row in json_rows(path, text=str):
        key = "_id" if "_id" in row else "id"
        if key not in row:
            got = ", ".join(sorted(row))
            raise bad_row(path, number, f"expected the field '_id', got {got}")
        name, title = row[key], row.get("title") or ""
        if isinstance(name, int) and not isinstance(name, bool):
            name = str(name)
        for field, value in ((key, name), ("title", title)):
            if not isinstance(value, str):
                got = type(value).__name__
                raise bad_row(path, number, f"expected {field!r} as str, got {got}")
        yield number, Document(name, row["text"], title, _metadata(row))


def _metadata(row: dict[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in row.items() if name not in _OWN}
    if isinstance(known.get("metadata"), dict):  # as BEIR has it
        known = known.pop("metadata") | known
    return known
