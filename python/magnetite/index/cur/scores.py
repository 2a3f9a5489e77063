"""The score matrix: what the slow model says of some pairs of queries and items, paid for once.

Which pairs is a `Plan`, fixed before the first call; the scores are one array in the plan's order.
In a folder that array is a file that only grows. Every second, and whenever work stops, what is
there is forced to the disk and `scores.journal` gets a line: how many scores, and their checksum.
A run that goes on cuts the file back to the last line that holds, so it asks for what is missing
and nothing else. Calls are cut at the same pairs in every run: a killed build that went on has the
bytes of one that was never stopped, if the scorer gives a batch the same scores twice. After a NaN
the next call begins at the pair that had it; what its call said of pairs before is kept.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from magnetite._core import FormatError
from magnetite.encode.parts import alone, sync_folder
from magnetite.index.cur.scorer import Scorer, ScorerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from magnetite.index.cur.plan import Plan
    from magnetite.index.cur.scorer import Group

JOURNAL, ABOUT, VALUES = "scores.journal", "about.json", "scores.f32"
#: Seconds between two checkpoints.
CHECKPOINT_S = 1.0


@dataclass(frozen=True)
class Job:
    """What a folder of scores is made of; another run goes on only with the same."""

    scorer: str
    queries: str
    items: str
    plan: str
    calls: int


@dataclass
class Scores:
    """Scores of a plan's pairs, as far as they have been paid for.

    `fill` makes the missing ones; after an error or Ctrl-C it can be called again, and goes on.
    """

    plan: Plan
    queries: Sequence[Any]
    items: Sequence[Any]
    values: NDArray[np.float32]  # [done], in the plan's order
    folder: Path | None = None
    job: Job | None = field(default=None, repr=False)

    @classmethod
    def open(
        cls,
        plan: Plan,
        queries: Sequence[Any],
        items: Sequence[Any],
        folder: str | os.PathLike[str] | None = None,
        *,
        scorer: str = "",
    ) -> Scores:
        """Return the matrix that `folder` holds, whole, begun, or not yet begun.

        Args:
            plan: Of the pairs.
            queries: All that the plan chose from; in a folder text, or what JSON can say.
            items: All of them, likewise.
            folder: Of this matrix alone, made if need be; None keeps scores in memory.
            scorer: A name that changes when the scores would: an artifact's fingerprint.

        Raises:
            FormatError: The folder is of another scorer, plan, queries or items, or was changed.
            FileExistsError: It holds other files.
            TypeError: A query or an item that is neither text nor JSON.
        """
        if len(items) != plan.items:
            raise ValueError(f"expected the plan's {plan.items:,} items, got {len(items):,}")
        if folder is None:
            return cls(plan, queries, items, np.empty(0, np.float32))
        path = Path(folder)
        job = Job(scorer, digest(queries), digest(items), plan.fingerprint(), plan.calls)
        if (path / ABOUT).exists():
            return cls(plan, queries, items, _whole(path, job), path, job)
        if path.exists() and not (path / JOURNAL).exists() and any(path.iterdir()):
            raise FileExistsError(f"{path} holds other files; give a folder for the scores alone")
        path.mkdir(parents=True, exist_ok=True)
        with _alone(path) as journal:
            return cls(plan, queries, items, _vouched(journal, job, path), path, job)

    @property
    def calls(self) -> int:
        """Scores that are there."""
        return len(self.values)

    @property
    def is_whole(self) -> bool:
        """Whether every pair of the plan has its score."""
        return len(self.values) == self.plan.calls

    def fill(self, score: object, *, show_progress: bool | None = None) -> Scores:
        """Ask for the scores that are missing; return this matrix.

        Args:
            score: A scorer.
            show_progress: Show calls done, rate and time left; by default on a terminal.

        Raises:
            ScorerError: As in `Scorer.ask`. What was paid for is kept: call `fill` again, in the
                same process or, with a folder, in another.
            OSError: The disk, or another process fills this folder.
        """
        if self.is_whole:
            return self
        asked = Scorer(score, self.items)
        hidden = None if show_progress is None else not show_progress
        with (
            _Sink(self) as sink,
            tqdm(total=self.plan.calls, initial=self.calls, desc="scoring", unit=" pairs",
                 unit_scale=True, disable=hidden) as bar,
        ):  # fmt: skip
            try:
                for call in self.plan.groups(self.calls):
                    for scores in asked.ask(self._asked(call)):
                        sink.take(scores)
                        bar.update(len(scores))
            except ScorerError as error:
                # The file is in the plan's order: what came before the first that is not finite.
                sink.take(error.answer[: np.argmin([*np.isfinite(error.answer), False])])
                kept = f"{sink.calls:,} of {self.plan.calls:,} scores are kept"
                where = f"in {self.folder}; run it again to go on" if self.folder else "in memory"
                raise ScorerError(f"{error}; {kept} {where}") from error
        return self

    def _asked(self, call: list[tuple[int, int, int]]) -> list[Group]:
        return [
            (self.queries[self.plan.queries[row]], self.plan.places(start, end))
            for row, start, end in call
        ]

    def matrix(self) -> NDArray[np.float32]:
        """Return the rows of a dense plan, a column an item.

        Raises:
            ValueError: A plan of some items only, or scores that are missing.
        """
        if self.plan.columns is not None:
            raise ValueError("this plan scores some items of each query; it has no dense matrix")
        self.need_whole()
        return self.values.reshape(len(self.plan.queries), self.plan.items)

    def need_whole(self) -> None:
        """Refuse a matrix that lacks scores."""
        if not self.is_whole:
            raise ValueError(
                f"{self.calls:,} of {self.plan.calls:,} scores are there; call `fill` to go on"
            )


class _Sink:
    """Where scores go as they come: memory, and with a folder its file."""

    def __init__(self, scores: Scores) -> None:
        self.scores = scores
        self._new: list[NDArray[np.float32]] = []
        self._forced = 0
        """Of `_new`, how many blocks are on the disk."""
        self.calls = self._durable = scores.calls
        self._crc = zlib.crc32(scores.values.tobytes())
        self._last = time.monotonic()
        self._held = ExitStack()

    def __enter__(self) -> _Sink:
        folder, job = self.scores.folder, self.scores.job
        if folder is not None and job is not None:
            with ExitStack() as held:
                self._journal = held.enter_context(_alone(folder))
                if len(_vouched(self._journal, job, folder)) != self.calls:
                    raise OSError(f"{folder}: another process has filled it on; open it again")
                self._file = held.enter_context((folder / VALUES).open("r+b"))
                self._held = held.pop_all()
        return self

    def take(self, scores: NDArray[np.float64]) -> None:
        """Keep these; every second force them to the disk."""
        with np.errstate(over="ignore"):
            narrow = scores.astype("<f4")
        if not np.isfinite(narrow).all():
            raise ScorerError(f"scores are kept in float32; got {np.abs(scores).max()}; scale them")
        self._new.append(narrow)
        self.calls += len(narrow)
        if time.monotonic() - self._last >= CHECKPOINT_S:
            self.settle()

    def settle(self) -> None:
        """Put what came since on the disk, then say so in the journal.

        If it is interrupted and called again, it writes to the same place.
        """
        count = len(self._new)
        if self.scores.folder is not None and self._forced < count:
            raw = b"".join(block.tobytes() for block in self._new[self._forced : count])
            crc, durable = zlib.crc32(raw, self._crc), self._durable + len(raw) // 4
            self._file.seek(4 * self._durable)
            self._file.write(raw)
            self._file.flush()
            os.fsync(self._file.fileno())
            _append(self._journal, {"calls": durable, "crc": crc})
            self._crc, self._durable, self._forced = crc, durable, count
        self._last = time.monotonic()

    def __exit__(self, *error: object) -> None:
        with self._held:
            self.settle()
            self.scores.values = np.concatenate([self.scores.values, *self._new])
            if self.scores.folder is not None and self.scores.job and self.scores.is_whole:
                _seal(self.scores.folder, self.scores.job, self._crc)


def digest(things: Sequence[Any]) -> str:
    """Return a name for these texts, or JSON values, that no others have.

    Raises:
        TypeError: Something else.
    """
    state = blake2b(digest_size=16)
    for thing in things:
        try:
            raw = json.dumps(thing, sort_keys=True).encode()
        except TypeError as error:
            raise TypeError(
                f"a folder of scores holds text or what JSON can say; got {type(thing).__name__}; "
                "without a folder anything goes"
            ) from error
        state.update(len(raw).to_bytes(8, "little") + raw)
    return state.hexdigest()


def _same(held: dict[str, Any], job: Job, path: Path) -> None:
    """Refuse what was made of something else."""
    differs = [name for name, value in asdict(job).items() if held.get(name) != value]
    if differs:
        raise FormatError(
            f"{path}: these scores are of another {', '.join(differs)}; "
            "give another folder, or remove this one to begin anew"
        )


def _whole(folder: Path, job: Job) -> NDArray[np.float32]:
    """Return the scores of a finished folder."""
    try:
        held = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        crc = int(held["crc"])
    except (ValueError, TypeError, KeyError) as error:
        raise FormatError(f"{folder / ABOUT}: not about scores; remove the folder") from error
    _same(held, job, folder / ABOUT)
    values = np.fromfile(folder / VALUES, "<f4")
    if len(values) != job.calls or zlib.crc32(values.tobytes()) != crc:
        raise FormatError(f"{folder / VALUES}: changed or truncated; remove the folder")
    return values


def _vouched(journal: IO[bytes], job: Job, folder: Path) -> NDArray[np.float32]:
    """Return the scores that the journal vouches for; cut off what came after them."""
    journal.seek(0)
    lines = [line for line in journal.read().splitlines(keepends=True) if line.endswith(b"\n")]
    journal.truncate(sum(map(len, lines)))  # a line torn by a kill goes
    try:
        begun, *marks = [json.loads(line) for line in lines] or [None]
        last = marks[-1] if marks else {"calls": 0, "crc": 0}
        calls, crc = int(last["calls"]), int(last["crc"])
    except (ValueError, TypeError, KeyError) as error:
        raise FormatError(f"{folder / JOURNAL}: not a journal of scores; remove it") from error
    if begun is None:
        _append(journal, asdict(job))
    else:
        _same(begun, job, folder / JOURNAL)
    with (folder / VALUES).open("a+b") as file:
        file.truncate(min(file.seek(0, os.SEEK_END), 4 * calls))
        file.seek(0)
        values = np.frombuffer(file.read(), "<f4")
    if len(values) != calls or zlib.crc32(values.tobytes()) != crc:
        raise FormatError(f"{folder / VALUES}: changed or truncated; remove the folder")
    return values


def _append(journal: IO[bytes], line: dict[str, Any]) -> None:
    journal.seek(0, os.SEEK_END)
    journal.write(json.dumps(line).encode() + b"\n")
    journal.flush()
    os.fsync(journal.fileno())


def _seal(folder: Path, job: Job, crc: int) -> None:
    """Say what the finished folder holds, in place of the journal."""
    passing = folder / f"{ABOUT}.tmp"
    with passing.open("w", encoding="utf-8") as file:
        file.write(json.dumps(asdict(job) | {"crc": crc}, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    passing.replace(folder / ABOUT)
    (folder / JOURNAL).unlink()
    sync_folder(folder)


@contextmanager
def _alone(folder: Path) -> Iterator[IO[bytes]]:
    """Open the journal, which one process may hold."""
    with (folder / JOURNAL).open("a+b") as journal, alone(journal, folder):
        yield journal
