"""The texts of items by their ids, in one file of SQLite.

Texts are put down before the rows that need them and removed only when the index is compacted, so
whatever a crash leaves, every item of the index has its text. A text has a digest, which is
compared whenever it is read.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from magnetite._core import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

#: Says whose database it is, in its header.
APPLICATION, FORMAT = 0x4D616743, 1
_AT_ONCE = 500  # parameters of a statement


class Texts:
    """Texts by id. No connection outlives a call, so threads and forked children may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as connection:
            [(owner,)], [(version,)] = (
                connection.execute(f"PRAGMA {name}") for name in ("application_id", "user_version")
            )
        if (owner, version) != (APPLICATION, FORMAT):
            raise FormatError(f"{path}: not the texts of items, or of another version; rebuild")

    @classmethod
    def create(cls, path: Path, ids: Iterable[Any], texts: Iterable[str]) -> Texts:
        """Make the file, with these texts."""
        with _named(path), closing(_connect(path, "rwc")) as connection:
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "CREATE TABLE items (id PRIMARY KEY, text BLOB NOT NULL, digest BLOB NOT NULL) "
                "WITHOUT ROWID"
            )
            _put(connection, ids, texts)
            connection.execute("COMMIT")
        return cls(path)

    def put(self, ids: Iterable[Any], texts: Iterable[str]) -> None:
        """Write texts, in place of those that have their ids."""
        with self._opened(writing=True) as connection:
            _put(connection, ids, texts)

    def keep(self, ids: Iterable[Any]) -> None:
        """Remove all texts but those of these ids."""
        with self._opened(writing=True) as connection:
            connection.execute("CREATE TEMP TABLE kept (id PRIMARY KEY)")
            connection.executemany("INSERT INTO kept VALUES (?)", ((one,) for one in ids))
            connection.execute("DELETE FROM items WHERE id NOT IN (SELECT id FROM kept)")

    def of(self, ids: Sequence[Any]) -> list[str]:
        """Return the texts of these ids.

        Raises:
            FormatError: One is missing or was changed.
        """
        found: dict[Any, str] = {}
        with self._opened() as connection:
            for start in range(0, len(ids), _AT_ONCE):
                some = ids[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                sql = f"SELECT id, text, digest FROM items WHERE id IN ({marks})"
                for name, held, digest in connection.execute(sql, some):
                    if _digest(name, held) != digest:
                        raise FormatError(f"{self.path}: the text of {name!r} was changed; rebuild")
                    found[name] = held.decode("utf-8", "surrogatepass")
        if missing := [name for name in ids if name not in found]:
            raise FormatError(f"{self.path}: the text of {missing[0]!r} is missing; rebuild")
        return [found[name] for name in ids]

    @contextmanager
    def _opened(self, *, writing: bool = False) -> Iterator[sqlite3.Connection]:
        # Whoever comes first after a crash undoes what was under way, be it a reader, if it may.
        mode = "rw" if writing or os.access(self.path.parent, os.W_OK) else "ro"
        with _named(self.path), closing(_connect(self.path, mode)) as connection:
            connection.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
            yield connection
            connection.execute("COMMIT")


def _put(connection: sqlite3.Connection, ids: Iterable[Any], texts: Iterable[str]) -> None:
    # Bytes, since a str may hold what is no Unicode text.
    held = (text.encode("utf-8", "surrogatepass") for text in texts)
    rows = ((one, text, _digest(one, text)) for one, text in zip(ids, held, strict=True))
    connection.executemany("INSERT OR REPLACE INTO items VALUES (?, ?, ?)", rows)


def _digest(name: object, held: object) -> bytes:
    text = held if isinstance(held, bytes) else repr(held).encode()
    return hashlib.blake2b(f"{name!r}:".encode() + text, digest_size=16).digest()


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    place = f"file:{quote(str(path.absolute()))}?mode={mode}"
    connection = sqlite3.connect(place, uri=True, isolation_level=None, timeout=60)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA trusted_schema = OFF")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn what SQLite says into errors that name the file."""
    try:
        yield
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if isinstance(error, sqlite3.OperationalError):
            raise OSError(f"{path}: {error}") from error
        raise FormatError(f"{path}: damaged ({error}); restore or rebuild") from error
