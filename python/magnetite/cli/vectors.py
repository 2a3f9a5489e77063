"""Vectors of many texts in one .npy file, written block by block; a killed run goes on.

Beside `x.npy` stand, while the work lasts, `x.npy.partial` (the array so far) and `x.npy.journal`:
a line that says what is being made, then a line for every block that reached the disk. A run reads
the journal, cuts the array to the last block named there, and goes on. Blocks have the same borders
in every run, so the finished file has the same bytes however often it was interrupted.
"""

import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from magnetite._core import FormatError

_BLOCK = 2048  # texts; a kill loses at most this many


@dataclass(frozen=True)
class Texts:
    """Texts that can be read twice: `read()` starts over and gives the same `rows` texts."""

    read: Callable[[], Iterable[str]]
    rows: int
    fingerprint: str

    @classmethod
    def of(cls, read: Callable[[], Iterable[str]]) -> "Texts":
        """Read the texts once, to count and fingerprint them."""
        state, rows = blake2b(digest_size=16), 0
        for text in read():
            raw = text.encode("utf-8", "surrogatepass")
            state.update(len(raw).to_bytes(8, "little") + raw)
            rows += 1
        return cls(read, rows, state.hexdigest())


@dataclass(frozen=True)
class _Work:
    """What the journal's first line says; another run goes on only with the same."""

    texts: str
    encoder: str
    prompt: str | None
    rows: int
    dim: int
    block: int = _BLOCK


@dataclass(frozen=True)
class Written:
    """How many vectors the file holds, and how many of them an earlier run had made."""

    rows: int
    dim: int
    resumed: int


def write_vectors(
    texts: Texts,
    encode: Callable[[list[str]], NDArray[np.float32]],
    out: Path,
    *,
    encoder: str,
    dim: int,
    prompt: str | None = None,
    keep_journal: bool = False,
) -> Written:
    """Write the vector of each text to `out`, as `np.save` would; go on from a killed run.

    With `keep_journal` the caller removes the file and its journal when both are no longer needed;
    until then the same call finds its work done.

    Raises:
        FormatError: The journal beside `out` belongs to other texts, another encoder or prompt.
        OSError: The disk, or another process at work on the same file.
    """
    work = _Work(texts.fingerprint, encoder, prompt, texts.rows, dim)
    partial, journal_path = beside(out)
    with journal_path.open("a+b") as journal, _alone(journal, out):
        resumed = _rows_done(journal, work, journal_path)
        if resumed < texts.rows or not out.exists():
            _go_on(texts, encode, partial, journal, dim, resumed)
            partial.replace(out)
        if not keep_journal:
            journal_path.unlink()
    return Written(texts.rows, dim, resumed)


def beside(out: Path) -> tuple[Path, Path]:
    """Return where the array so far and the journal stand while `out` is being made."""
    return out.with_name(f"{out.name}.partial"), out.with_name(f"{out.name}.journal")


def _go_on(
    texts: Texts,
    encode: Callable[[list[str]], NDArray[np.float32]],
    partial: Path,
    journal: IO[bytes],
    dim: int,
    resumed: int,
) -> None:
    with (
        partial.open("a+b") as array,
        tqdm(total=texts.rows, initial=resumed, unit=" texts", disable=None) as bar,
    ):
        _cut(array, _header(texts.rows, dim), resumed * dim * 4)
        source, done = islice(texts.read(), resumed, None), resumed
        while block := list(islice(source, _BLOCK)):
            array.write(np.ascontiguousarray(encode(block), dtype="<f4").tobytes())
            _to_disk(array)
            done += len(block)
            journal.write(json.dumps({"rows": done}).encode() + b"\n")
            _to_disk(journal)
            bar.update(len(block))


def _rows_done(journal: IO[bytes], work: _Work, path: Path) -> int:
    """Return how many rows the journal vouches for; one without rows becomes that of `work`."""
    begun, done = _read_journal(journal, path)
    if not done:
        journal.truncate(0)
        journal.write(json.dumps(asdict(work)).encode() + b"\n")
        _to_disk(journal)
    elif begun != asdict(work):
        differs = [name for name, value in asdict(work).items() if begun.get(name) != value]
        raise FormatError(
            f"{path}: an earlier run was interrupted while it made other vectors "
            f"({', '.join(differs)} differ); remove the journal to begin anew"
        )
    return done


def _read_journal(journal: IO[bytes], path: Path) -> tuple[dict[str, object], int]:
    """Return the journal's first line and its last line's rows; cut off a line torn by a kill."""
    journal.seek(0)
    whole = [line for line in journal.read().splitlines(keepends=True) if line.endswith(b"\n")]
    journal.truncate(sum(map(len, whole)))
    try:
        begun, *blocks = [json.loads(line) for line in whole] or [{}]
        return dict(begun), int(blocks[-1]["rows"]) if blocks else 0
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path}: not a journal of vectors; remove it to begin anew") from error


def _cut(array: IO[bytes], header: bytes, bytes_done: int) -> None:
    array.seek(0, io.SEEK_END)
    if bytes_done and array.tell() < len(header) + bytes_done:
        raise FormatError(f"{array.name}: shorter than its journal says; remove both")
    if bytes_done:
        array.truncate(len(header) + bytes_done)
    else:
        array.truncate(0)
        array.write(header)


def _header(rows: int, dim: int) -> bytes:
    stream = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)}
    np.lib.format.write_array_header_1_0(stream, shape)
    return stream.getvalue()


def _to_disk(stream: IO[bytes]) -> None:
    stream.flush()
    os.fsync(stream.fileno())


@contextmanager
def _alone(journal: IO[bytes], out: Path) -> Iterator[None]:
    """Hold the journal's lock, which the system drops when this process dies."""
    try:
        import fcntl
    except ImportError:  # Windows: nobody else is kept out
        yield
        return
    try:
        fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(f"{out}: another process is writing it") from error
    yield
