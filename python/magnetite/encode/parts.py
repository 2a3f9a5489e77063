"""A folder of parts: vectors and ids of a corpus, written so that a killed run can go on.

While work lasts, `parts.journal` says in its first line what is being made and then has a line for
each part that reached the disk: its number, its rows, the fingerprint of its texts. A part is
written under a passing name and renamed, then named in the journal; what the journal does not name
is made again. Parts depend on their own texts alone, so the finished folder has the same bytes
however often the work was interrupted.
"""

import io
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from magnetite._core import FormatError
from magnetite.encode.session import Vectors

JOURNAL = "parts.journal"
ABOUT = "about.json"


@dataclass(frozen=True)
class Job:
    """What all parts have in common; another run goes on only with the same."""

    encoder: str
    """Its fingerprint."""
    dim: int
    prompt: str | None
    format: str
    with_text: bool
    window: tuple[int, int]
    """The most texts and characters of a part."""


@dataclass(frozen=True)
class Part:
    """One part that reached the disk."""

    number: int
    rows: int
    texts: str
    """Fingerprint of ids and texts."""


@dataclass(frozen=True)
class Text:
    """A text and what it is called."""

    id: str
    text: str


def fingerprint(texts: Sequence[Text]) -> str:
    """Return a name for these ids and texts that no others have."""
    state = blake2b(digest_size=16)
    for one in texts:
        for word in (one.id, one.text):
            raw = word.encode("utf-8", "surrogatepass")
            state.update(len(raw).to_bytes(8, "little") + raw)
    return state.hexdigest()


class Format(Protocol):
    """How a part lies on the disk."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of its files."""
        ...

    def write(
        self, files: Sequence[Path], texts: Sequence[Text], vectors: Vectors, *, with_text: bool
    ) -> None:
        """Write one file a suffix."""
        ...

    def join(self, parts: Sequence[Path], rows: int, dim: int, out: Path) -> None:
        """Write one file of all parts, which are named without their suffix."""
        ...


class Npy:
    """Vectors as NumPy saves them; ids, and texts if wanted, as JSON lines beside them."""

    suffixes = (".npy", ".jsonl")

    def write(
        self, files: Sequence[Path], texts: Sequence[Text], vectors: Vectors, *, with_text: bool
    ) -> None:
        """Write the two files of a part."""
        array, names = files
        with array.open("wb") as file:
            np.save(file, vectors)
        with names.open("w", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
            for one in texts:
                row = {"id": one.id} | ({"text": one.text} if with_text else {})
                file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def join(self, parts: Sequence[Path], rows: int, dim: int, out: Path) -> None:
        """Write one array of all; ids stay behind, rows keep their order."""
        header = io.BytesIO()
        shape = {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)}
        np.lib.format.write_array_header_1_0(header, shape)
        with out.open("wb") as file:
            file.write(header.getvalue())
            for part in parts:
                np.load(part.with_name(part.name + ".npy"), mmap_mode="r").tofile(file)


class Parquet:
    """Columns `id`, `vector` and, if wanted, `text`."""

    suffixes = (".parquet",)

    def write(
        self, files: Sequence[Path], texts: Sequence[Text], vectors: Vectors, *, with_text: bool
    ) -> None:
        """Write the file of a part."""
        import pyarrow  # type: ignore[import-untyped]
        from pyarrow import parquet

        flat = pyarrow.array(vectors.reshape(-1))
        columns = {
            "id": pyarrow.array([one.id for one in texts], pyarrow.string()),
            "vector": pyarrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
        }
        if with_text:
            columns["text"] = pyarrow.array([_whole(one.text) for one in texts], pyarrow.string())
        parquet.write_table(pyarrow.table(columns), files[0])

    def join(
        self,
        parts: Sequence[Path],
        rows: int,  # noqa: ARG002 - a format's signature
        dim: int,  # noqa: ARG002
        out: Path,
    ) -> None:
        """Write one file, a row group a part."""
        from pyarrow import parquet

        sources = [part.with_name(part.name + ".parquet") for part in parts]
        with parquet.ParquetWriter(out, parquet.read_schema(sources[0])) as file:
            for source in sources:
                file.write_table(parquet.read_table(source))


def _whole(text: str) -> str:
    """Return `text` with U+FFFD for lone surrogates, which a file of Arrow cannot hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


FORMATS: dict[str, Format] = {"npy": Npy(), "parquet": Parquet()}


class Parts:
    """The parts of one job in a folder, open for one writer."""

    def __init__(self, folder: Path, job: Job, journal: IO[bytes], done: dict[int, Part]) -> None:
        self.folder, self.job = folder, job
        self.format = FORMATS[job.format]
        self._journal = journal
        self.done = done

    @classmethod
    @contextmanager
    def open(cls, folder: Path, job: Job) -> Iterator["Parts"]:
        """Begin the job in a folder, or go on with it.

        Raises:
            FileExistsError: The folder holds finished work, or something else.
            FormatError: An earlier run was interrupted while it made something else.
            OSError: Another process is at work on it.
        """
        if folder.exists() and not (folder / JOURNAL).exists() and any(folder.iterdir()):
            raise FileExistsError(f"{folder} exists; remove it or give another output")
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / JOURNAL).open("a+b") as journal, alone(journal, folder):
            done = _resume(journal, job, folder / JOURNAL)
            for torn in folder.glob("*.tmp"):
                torn.unlink()
            yield cls(folder, job, journal, done)

    def known(self, number: int, texts: Sequence[Text]) -> bool:
        """Whether this part is done; refuse one that was made of other texts."""
        part = self.done.get(number)
        if part is None:
            return False
        if part.texts != fingerprint(texts):
            raise FormatError(
                f"{self.folder}: part {number} was made of other texts by an earlier run; "
                "remove the folder to begin anew"
            )
        return True

    def write(self, number: int, texts: Sequence[Text], vectors: Vectors) -> None:
        """Put a part on the disk."""
        stem = self.path(number)
        files = [stem.with_name(stem.name + suffix) for suffix in self.format.suffixes]
        passing = [file.with_name(file.name + ".tmp") for file in files]
        self.format.write(passing, texts, vectors, with_text=self.job.with_text)
        for file, final in zip(passing, files, strict=True):
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
            file.replace(final)
        sync_folder(self.folder)
        part = Part(number, len(texts), fingerprint(texts))
        self._journal.write(json.dumps(asdict(part)).encode() + b"\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())
        self.done[number] = part

    def path(self, number: int) -> Path:
        """Return a part's path without the suffixes of its files."""
        return self.folder / f"part-{number:06d}"

    @property
    def rows(self) -> int:
        """How many rows all parts have."""
        return sum(part.rows for part in self.done.values())

    def seal(self) -> None:
        """Say what the finished folder holds, in place of the journal."""
        about = asdict(self.job) | {
            "rows": self.rows,
            "parts": [asdict(self.done[number]) for number in sorted(self.done)],
        }
        passing = self.folder / f"{ABOUT}.tmp"
        passing.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        passing.replace(self.folder / ABOUT)
        (self.folder / JOURNAL).unlink()
        sync_folder(self.folder)

    def join(self, out: Path) -> None:
        """Write one file of all parts, and remove the folder."""
        passing = out.with_name(f"{out.name}.tmp")
        parts = [self.path(number) for number in sorted(self.done)]
        self.format.join(parts, self.rows, self.job.dim, passing)
        with passing.open("rb") as stream:
            os.fsync(stream.fileno())
        passing.replace(out)
        sync_folder(out.parent)
        shutil.rmtree(self.folder)


def _resume(journal: IO[bytes], job: Job, path: Path) -> dict[int, Part]:
    """Return the parts that the journal vouches for; one without any becomes that of `job`."""
    journal.seek(0)
    whole = [line for line in journal.read().splitlines(keepends=True) if line.endswith(b"\n")]
    journal.truncate(sum(map(len, whole)))  # a line torn by a kill goes
    wanted: dict[str, Any] = json.loads(json.dumps(asdict(job)))
    try:
        begun, *lines = [json.loads(line) for line in whole] or [{}]
        done = {part.number: part for part in (Part(**line) for line in lines)}
        differs = [name for name, value in wanted.items() if begun.get(name) != value]
    except (ValueError, TypeError, AttributeError) as error:
        raise FormatError(f"{path}: not a journal of vectors; remove it to begin anew") from error
    if done and differs:
        raise FormatError(
            f"{path}: an earlier run was interrupted while it made other vectors "
            f"({', '.join(differs)} differ); remove the folder to begin anew"
        )
    if not done:
        journal.truncate(0)
        journal.write(json.dumps(wanted).encode() + b"\n")
        journal.flush()
    return done


def sync_folder(folder: Path) -> None:
    """Force the names in `folder` to the disk."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def alone(journal: IO[bytes], folder: Path) -> Iterator[None]:
    """Hold the journal's lock, which the system drops when this process dies.

    Raises:
        OSError: Another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows: nobody else is kept out
        yield
        return
    try:
        fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(f"{folder}: another process is writing it") from error
    yield
