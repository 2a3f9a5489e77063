"""Rows of text files, plain or gzipped; a bad row is named by its file and line."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from magnetite._core import FormatError


def found(path: Path) -> Path:
    """Return `path`, or `path` with `.gz` where only that exists.

    Raises:
        FileNotFoundError: Neither exists.
    """
    zipped = path.with_name(path.name + ".gz")
    for candidate in (path, zipped):
        if candidate.exists():
            return candidate
    raise FileNotFoundError(f"{path}: no such file (nor {zipped.name})")


def text_lines(path: Path, *, blank: bool = False) -> Iterator[tuple[int, str]]:
    r"""Yield each line, the blank ones only if asked for, with its number, counted from 1.

    Only `\n` and `\r\n` end a line, so texts may hold every other Unicode separator.

    Raises:
        FormatError: Bytes that are not UTF-8, or a damaged gzip stream.
    """
    number = 0
    try:
        with _opened(path) as stream:
            for number, raw in enumerate(stream, start=1):
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    raise bad_row(path, number, f"not UTF-8 (byte {error.start})") from error
                if blank or line.strip():
                    yield number, line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise bad_row(path, number + 1, f"damaged gzip stream: {error}") from error


def json_rows(path: Path, **wanted: type) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each line's JSON object with its number; `wanted` names fields and their types.

    Raises:
        FormatError: A line is not a JSON object, or lacks a field, or holds another type there.
    """
    for number, line in text_lines(path):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise bad_row(path, number, f"not JSON: {error}") from error
        if not isinstance(row, dict):
            raise bad_row(path, number, f"expected a JSON object, got {type(row).__name__}")
        for field, kind in wanted.items():
            if field not in row:
                got = ", ".join(sorted(row)) or "no fields"
                raise bad_row(path, number, f"expected the field {field!r}, got {got}")
            if not isinstance(row[field], kind):
                got = type(row[field]).__name__
                raise bad_row(path, number, f"expected {field!r} as {kind.__name__}, got {got}")
        yield number, row


def tab_rows(path: Path, columns: int) -> Iterator[tuple[int, list[str]]]:
    """Yield each line's `columns` tab-separated fields with its number, the header included.

    Raises:
        FormatError: A line has another number of fields.
    """
    for number, line in text_lines(path):
        fields = line.split("\t")
        if len(fields) != columns:
            said = f"expected {columns} tab-separated fields, got {len(fields)}"
            raise bad_row(path, number, said)
        yield number, fields


def bad_row(path: Path, number: int, said: str) -> FormatError:
    """Return the error that names a row by file and line."""
    return FormatError(f"{path}:{number}: {said}")


def _opened(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")
