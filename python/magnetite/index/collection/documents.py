"""Documents and metadata in SQLite, and the index's manifest. The only file that names SQLite.

One transaction writes documents and the manifest of their vectors, so a commit of SQLite is a
commit of the collection. The database is in WAL mode: a reader sees the commit that it began with,
whatever a writer does, and neither waits for the other.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import threading
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote

import numpy as np

from magnetite._core import FormatError
from magnetite.index.collection import where as conditions
from magnetite.index.collection.document import Document, Record, restored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from magnetite.index.collection.where import Where

#: Says whose database it is, in its header.
APPLICATION, FORMAT = 0x4D61674E, 1

_SCHEMA = (
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {FORMAT}",
    """CREATE TABLE collection (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    about TEXT NOT NULL,        -- JSON: encoder, its model, how vectors are compared
    number INTEGER NOT NULL,    -- of the commit
    changed INTEGER NOT NULL,   -- vectors that came or went since they were built together
    manifest TEXT NOT NULL      -- which segments hold the vectors now
)""",
    """CREATE TABLE documents (
    row INTEGER PRIMARY KEY,    -- what its vector is called
    id TEXT NOT NULL UNIQUE,
    encoded BLOB NOT NULL,      -- digest of what the encoder read
    digest BLOB NOT NULL,       -- of all of it
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    metadata TEXT NOT NULL      -- JSON
)""",
    """CREATE TABLE fields (       -- of metadata, what conditions see
    field BLOB NOT NULL, kind INTEGER NOT NULL, value NOT NULL, row INTEGER NOT NULL,
    PRIMARY KEY (field, kind, value, row)
) WITHOUT ROWID""",
)
_Value = TypeVar("_Value", int, bytes)

_DOCUMENT = "id, text, title, metadata"
_KNOWN = "CAST(id AS BLOB), row, encoded, digest"
_TEXT = "CAST(? AS TEXT)"  # its bytes as they are, lone surrogates among them
_AT_ONCE = 500  # parameters of a statement
_BUSY_S = 60.0
_WAL_PAGES = 8192  # 32 MB; written back to the database then

#: Connections that a forked child must neither use nor close.
_inherited: list[sqlite3.Connection] = []


class Known(NamedTuple):
    """What is stored of a document that may be changed."""

    row: int
    encoded: bytes
    digest: bytes


@dataclass(frozen=True)
class State:
    """What a commit is, beside its documents."""

    number: int
    changed: int
    manifest: str


class DamagedError(Exception):
    """What lies in the database is none of ours; becomes a `FormatError` that names the file."""


class Snapshot:
    """The documents of one commit."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def number(self) -> int:
        """Return the number of the commit."""
        for (number,) in self._connection.execute("SELECT number FROM collection"):
            if type(number) is int:
                return number
        raise DamagedError("it does not say which commit it is")

    def state(self) -> State:
        """Return what the commit is."""
        for row in self._connection.execute("SELECT number, changed, manifest FROM collection"):
            if [type(one) for one in row] == [int, int, str]:
                return State(*row)
        raise DamagedError("it does not say what its vectors are")

    def about(self) -> dict[str, str | bool | None]:
        """Return what the collection is."""
        for (said,) in self._connection.execute("SELECT about FROM collection"):
            about = json.loads(str(said))
            if isinstance(about, dict) and {"encoder", "model", "normalize"} <= about.keys():
                return about
        raise DamagedError("it does not say which encoder filled it")

    def known(self, ids: Sequence[bytes]) -> dict[bytes, Known]:
        """Return what is stored under these ids."""
        found = {}
        for some in _some(ids):
            sql = f"SELECT {_KNOWN} FROM documents WHERE id IN ({','.join([_TEXT] * len(some))})"
            found.update({row[0]: Known(*row[1:]) for row in self._connection.execute(sql, some)})
        return found

    def documents(self, rows: Iterable[int]) -> dict[int, Document]:
        """Return the documents of these rows."""
        found = {}
        for some in _some(sorted(set(rows))):
            wanted = conditions.marks(len(some))
            sql = f"SELECT {_DOCUMENT}, row FROM documents WHERE row IN ({wanted})"
            for *parts, row in self._connection.execute(sql, some):
                found[row] = _document(*parts)
        return found

    def by_id(self, ids: Sequence[bytes]) -> dict[bytes, Document]:
        """Return the documents called so."""
        known = self.known(ids)
        documents = self.documents(one.row for one in known.values())
        return {name: documents[one.row] for name, one in known.items()}

    def all(self) -> Iterator[Document]:
        """Yield every document, in the order in which they came."""
        rows = self._connection.execute(f"SELECT {_DOCUMENT} FROM documents ORDER BY row")
        return (_document(*row) for row in rows)

    def records(self) -> Iterator[tuple[int, Record]]:
        """Yield every row as it is stored, ascending."""
        blobs = "CAST(id AS BLOB), CAST(title AS BLOB), CAST(text AS BLOB)"
        sql = f"SELECT row, {blobs}, metadata, encoded, digest FROM documents ORDER BY row"
        for row, *parts in self._connection.execute(sql):
            yield row, Record(*parts)

    def rows(self, where: Where) -> NDArray[np.int64]:
        """Return the rows for which `where` holds, ascending."""
        [(found,)] = self._connection.execute(*conditions.compiled(where))
        return np.unique(np.fromstring(found or "", np.int64, sep=","))

    def fields(self) -> Iterator[tuple[int, bytes, int, conditions.Value]]:
        """Return what conditions see, by row."""
        return self._connection.execute("SELECT row, field, kind, value FROM fields ORDER BY row")

    def ids(self) -> Iterator[str]:
        """Yield every id, in the order in which they came."""
        for (name,) in self._connection.execute("SELECT id FROM documents ORDER BY row"):
            yield name

    def last_row(self) -> int:
        """Return the highest row; 0 without any."""
        [(row,)] = self._connection.execute("SELECT coalesce(max(row), 0) FROM documents")
        return int(row)

    def faults(self) -> Iterator[str]:
        """Yield what SQLite finds wrong with its own file."""
        for (said,) in self._connection.execute("PRAGMA integrity_check(1)"):
            if said != "ok":
                yield said


class Change:
    """What one commit changes; it happens when the block ends, or not at all."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def put(self, rows: Sequence[int], records: Sequence[Record]) -> None:
        """Write the records, in place of those that have their rows."""
        last = Snapshot(self._connection).last_row()
        self.forget_fields([row for row in rows if row <= last])
        wanted = f"?, {_TEXT}, ?, ?, {_TEXT}, {_TEXT}, ?"
        self._connection.executemany(
            "INSERT OR REPLACE INTO documents (row, id, encoded, digest, title, text, metadata) "
            f"VALUES ({wanted})",
            (
                (row, one.id, one.encoded, one.digest, one.title, one.text, one.metadata)
                for row, one in zip(rows, records, strict=True)
            ),
        )
        self._connection.executemany(
            "INSERT INTO fields (field, kind, value, row) VALUES (?, ?, ?, ?)",
            (
                (*field, row)
                for row, one in zip(rows, records, strict=True)
                if one.metadata != "{}"
                for field in conditions.fields_of(_held(one.metadata))
            ),
        )

    def delete(self, rows: Sequence[int]) -> None:
        """Delete the rows."""
        self.forget_fields(rows)
        self._connection.executemany(
            "DELETE FROM documents WHERE row = ?", ((row,) for row in rows)
        )

    def forget_fields(self, rows: Sequence[int]) -> None:
        """Delete what conditions see of these rows."""
        for some in _some(rows):
            meets = f"metadata <> '{{}}' AND row IN ({conditions.marks(len(some))})"
            sql = f"SELECT row, metadata FROM documents WHERE {meets}"
            stored = self._connection.execute(sql, some).fetchall()
            self._connection.executemany(
                "DELETE FROM fields WHERE field = ? AND kind = ? AND value = ? AND row = ?",
                (
                    (*field, row)
                    for row, metadata in stored
                    for field in conditions.fields_of(_held(metadata))
                ),
            )

    def become(self, state: State) -> None:
        """Make this the state of the collection."""
        self._connection.execute(
            "UPDATE collection SET number = ?, changed = ?, manifest = ?",
            (state.number, state.changed, state.manifest),
        )


class Documents:
    """The database of a collection; safe from many threads at once and after `fork`."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        """Open it.

        Raises:
            FormatError: It is none, or it is damaged.
            OSError: It cannot be read.
        """
        self.path = path
        self._read_only = read_only
        self._idle: list[sqlite3.Connection] = []
        self._process = os.getpid()
        self._guard = threading.Lock()
        self._closed = False
        weakref.finalize(self, _close, self._idle, os.getpid())
        with self.reading() as snapshot:
            self.about = snapshot.about()

    @staticmethod
    def create(
        path: Path, about: dict[str, str | bool | None], manifest: Callable[[], str]
    ) -> None:
        """Make a database without documents; whole, or nothing that `Documents` would open.

        Its directory is made if it is missing. `manifest` is called when it is certain that there
        is no other.

        Raises:
            FileExistsError: There is one.
        """
        _make_directory(path.parent)
        with _named(path):
            connection = _connect(path, "rwc")
            try:
                connection.execute("BEGIN IMMEDIATE")
                if connection.execute("PRAGMA schema_version").fetchone() != (0,):
                    raise FileExistsError(
                        f"{path.parent} already holds a collection; open it, or give another folder"
                    )
                for statement in _SCHEMA:
                    connection.execute(statement)
                connection.execute(
                    "INSERT INTO collection VALUES (1, ?, 1, 0, ?)", (json.dumps(about), manifest())
                )
                connection.execute("COMMIT")
            finally:
                connection.close()

    @contextmanager
    def reading(self) -> Iterator[Snapshot]:
        """Show one commit, the last, from the beginning of the block to its end."""
        with self._borrowed() as connection:
            connection.execute("BEGIN")
            try:
                yield Snapshot(connection)
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[tuple[Snapshot, Change]]:
        """Commit what is changed in the block, or nothing if it raises; nobody else writes."""
        with self._borrowed() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Snapshot(connection), Change(connection)
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def shrink(self) -> None:
        """Give what deleted documents held back to the disk, if it is much."""
        with self._borrowed() as connection:
            [(free,)], [(pages,)] = (
                connection.execute(f"PRAGMA {name}") for name in ("freelist_count", "page_count")
            )
            if 4 * free > pages:
                connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def close(self) -> None:
        """Close every connection that is not in use; the others are closed when they come back."""
        self._closed = True
        _close(self._idle, self._process)

    @contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        if self._closed:
            raise ValueError(f"{self.path.parent}: the collection is closed; open it again")
        with _named(self.path):
            connection = self._take()
            with _closed_on_error(connection):  # an interrupted query may still be under way
                yield connection
            if self._closed:
                connection.close()
            else:
                self._idle.append(connection)

    def _take(self) -> sqlite3.Connection:
        with self._guard:
            if self._process != os.getpid():
                _inherited.extend(self._idle)
                self._idle.clear()
                self._process = os.getpid()
            if self._idle:
                return self._idle.pop()
        return _checked(self._connect(), self.path)

    def _connect(self) -> sqlite3.Connection:
        if os.access(self.path.parent, os.W_OK):
            connection = _connect(self.path, "rw")
            with _closed_on_error(connection):
                connection.execute(f"PRAGMA query_only = {int(self._read_only)}")
            return connection
        # SQLite would make files beside it. Where it may not, it reads the file alone, which stays
        # as it is unless another user is at work.
        at_work = self.path.with_name(f"{self.path.name}-wal").exists()
        return _connect(self.path, "ro" if at_work else "ro&immutable=1")


def _make_directory(path: Path) -> None:
    """Make a directory whose name, and those of what was made above it, are on the disk."""
    if path.is_dir():
        return
    _make_directory(path.parent)
    path.mkdir(exist_ok=True)
    if os.name == "posix":
        above = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(above)
        finally:
            os.close(above)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    place = f"file:{quote(str(path.absolute()))}?mode={mode}"
    connection = sqlite3.connect(
        place, uri=True, isolation_level=None, check_same_thread=False, timeout=_BUSY_S
    )
    with _closed_on_error(connection):
        connection.text_factory = restored
        if mode == "rwc":
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}").fetchall()
    return connection


def _checked(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    """Return the connection if its database is one of ours."""
    with _closed_on_error(connection):
        [(owner,)], [(version,)] = (
            connection.execute(f"PRAGMA {name}") for name in ("application_id", "user_version")
        )
        if owner != APPLICATION:
            raise FormatError(f"{path}: not the documents of a collection")
        if version != FORMAT:
            raise FormatError(
                f"{path}: format {version}; this magnetite reads {FORMAT}; upgrade magnetite or "
                "rebuild"
            )
    return connection


@contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _close(connections: list[sqlite3.Connection], process: int) -> None:
    """Close what this process opened; what it inherited is its parent's."""
    while connections:
        connection = connections.pop()
        if process == os.getpid():
            connection.close()
        else:
            _inherited.append(connection)


def _document(name: str, text: str, title: str, metadata: str) -> Document:
    if not all(type(one) is str for one in (name, text, title)):
        raise DamagedError("a document has parts of other types")
    return Document(name, text, title, _held(metadata))


def _held(metadata: str) -> dict[str, Any]:
    """Return metadata as it was given."""
    if metadata == "{}":
        return {}
    held = json.loads(metadata) if type(metadata) is str else None
    if not isinstance(held, dict):
        raise DamagedError("metadata of another type")
    return held


def _some(values: Iterable[_Value]) -> Iterator[list[_Value]]:
    """Yield the values, no more at a time than a statement takes."""
    rest = iter(values)
    while some := list(islice(rest, _AT_ONCE)):
        yield some


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn what SQLite says into errors that name the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise _as_ours(error, path) from error
    except (DamagedError, json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"{path}: damaged ({error}); restore or rebuild") from error


def _as_ours(error: sqlite3.Error, path: Path) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the kind, without its details
    match code:
        case sqlite3.SQLITE_FULL:
            return OSError(errno.ENOSPC, "No space left on device", str(path))
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return OSError(errno.EROFS, "may not be written", str(path))
        case sqlite3.SQLITE_CANTOPEN if not path.exists():
            return FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_IOERR:
            return OSError(errno.EIO, f"cannot be read or written ({error})", str(path))
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return OSError(
                errno.EBUSY, "another writer is at work; write when it is done", str(path)
            )
        case 0:  # not what SQLite says, but how it is called
            return error
    # The statements are ours and right, so the file is none that they fit.
    return FormatError(f"{path}: damaged ({error}); restore or rebuild")
