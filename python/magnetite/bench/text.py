"""How fast are texts turned into arrays of ids, beside `tokenizers` and NumPy?

Both sides give int64 arrays of ids and mask, padded to the longest of the 256 texts of a call; they
are asserted equal. Sides take turns by rounds of eight calls, no text comes twice, and the first
round counts. Figures are of processor time, so that others on the machine count little: MB of UTF-8
a second and core; the ratio is the median over the rounds, that of the wall clock beside it.
"""

import gzip
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tokenizers
from numpy.typing import NDArray

import magnetite
from magnetite.text import Tokenizer

BATCH, CALLS = 256, 8
Arrays = tuple[NDArray[np.int64], NDArray[np.int64]]
Side = Callable[[list[str]], Arrays]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement of what becomes of texts."""

    work: str  # tokenize or encode
    texts: str  # which
    model: str  # tokenizer or encoder
    system: str
    version: str
    settings: str  # the engine, or how it was run
    n: int
    dim: int  # numbers in a vector; 0 for ids
    threads: int
    batch: int  # texts in a call
    quality: float  # part of the rows with equal ids; smallest cosine to the peer's vectors
    rate: float
    unit: str  # of the rate
    p50: float  # seconds a call
    p99: float
    bytes: int  # of UTF-8
    build_s: float  # to load what does the work
    ratio: float = 0.0  # our rate / the best peer's, the median over the rounds
    more: dict[str, float]  # what else was seen

    def as_json(self) -> str:
        """Return one line."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Texts:
    """Some texts and what they are called."""

    name: str
    texts: list[str]

    @property
    def bytes(self) -> int:
        """How many bytes of UTF-8 they have."""
        return sum(len(text.encode("utf-8", "replace")) for text in self.texts)


def read_text(path: Path) -> str:
    """Return the text of a file, gzipped or not."""
    raw = path.read_bytes()
    return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")


def read(path: Path, most: int) -> Texts:
    """Return the lines of a file; of JSONL the longest string of each; none twice, none empty."""
    lines = read_text(path).split("\n")
    if ".jsonl" in path.name:
        values = (json.loads(line).values() for line in lines if line)
        lines = [max((v for v in row if isinstance(v, str)), key=len) for row in values]
    name = f"{path.parent.name}/{path.name.partition('.')[0]}"
    return Texts(name, list(dict.fromkeys(filter(None, lines)))[:most])


def ours(tokenizer: Tokenizer, threads: int) -> Side:
    """Return what gives the rectangles at once."""
    return lambda texts: tokenizer.encode_padded(texts, threads=threads)


def peer(tokenizer: tokenizers.Tokenizer) -> Side:
    """Return `encode_batch_fast`, and the fastest way found from its lists to arrays.

    The library's own padding and `numpy.array` of lists take longer.
    """

    def run(texts: list[str]) -> Arrays:
        rows = [row.ids for row in tokenizer.encode_batch_fast(texts)]
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.zeros(mask.shape, np.int64)
        ids[mask] = np.fromiter(itertools.chain.from_iterable(rows), np.int64, lengths.sum())
        return ids, mask.astype(np.int64)

    return run


@dataclass
class Times:
    """Seconds of one side: processor and wall a round, wall a call."""

    rounds: list[tuple[float, float]]
    calls: list[float]


def race(sides: dict[str, Side], texts: list[str]) -> dict[str, Times]:
    """Return the seconds of each side; asserts that the arrays are equal."""
    seconds = {name: Times([], []) for name in sides}
    for first in range(0, len(texts), CALLS * BATCH):
        part = texts[first : first + CALLS * BATCH]
        calls = [part[i : i + BATCH] for i in range(0, len(part), BATCH)]
        answers = []
        for name, side in sides.items():
            answer, begun = [], time.process_time()
            clock = [time.perf_counter()]
            for call in calls:
                answer.append(side(call))
                clock.append(time.perf_counter())
            seconds[name].rounds.append((time.process_time() - begun, clock[-1] - clock[0]))
            seconds[name].calls += np.diff(clock).tolist()
            answers.append(answer)
        for first_answer, *others in zip(*answers, strict=True):
            for other in others:
                _assert_equal(first_answer, other)
    return seconds


def _assert_equal(one: Arrays, other: Arrays) -> None:
    assert np.array_equal(one[1], other[1]), "lengths differ"
    assert np.array_equal(one[0] * one[1], other[0]), "ids differ"


def tokenize(
    texts: Texts, definition: str, name: str, threads: int, against: Sequence[str]
) -> list[Row]:
    """Return a row for each side: the texts of a file by the tokenizer that `definition` is."""
    loaded = [time.perf_counter()]
    tokenizer = Tokenizer.from_json(definition)
    loaded.append(time.perf_counter())
    sides = {"magnetite": ours(tokenizer, threads)}
    if "tokenizers" in against:
        theirs = tokenizers.Tokenizer.from_str(definition)
        loaded.append(time.perf_counter())
        theirs.no_padding()
        os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
        sides["tokenizers"] = peer(theirs)
    seconds = race(sides, texts.texts)
    build_s = dict(zip(sides, np.diff(loaded).tolist(), strict=True))
    begun = time.process_time()
    np.frombuffer("".join(texts.texts).encode("utf-8", "replace"), np.uint8).sum()
    read_s = time.process_time() - begun
    versions = {"magnetite": magnetite.__version__, "tokenizers": tokenizers.__version__}
    ratios = [0.0, 0.0]
    if len(sides) == 2:
        pairs = list(zip(*(seconds[name].rounds for name in sides), strict=True))
        ratios = [statistics.median(b[clock] / a[clock] for a, b in pairs) for clock in (0, 1)]
    return [
        Row(
            work="tokenize",
            texts=texts.name,
            model=name,
            system=system,
            version=versions[system],
            settings=tokenizer.engine if system == "magnetite" else "encode_batch_fast",
            n=len(texts.texts),
            dim=0,
            threads=threads,
            batch=BATCH,
            quality=1.0,
            rate=texts.bytes / 1e6 / sum(cpu for cpu, _ in found.rounds),
            unit="MB/s of a core",
            p50=float(np.quantile(found.calls, 0.5)),
            p99=float(np.quantile(found.calls, 0.99)),
            bytes=texts.bytes,
            build_s=build_s[system],
            ratio=ratios[0] if system == "magnetite" else 0.0,
            more={"wall_ratio": ratios[1], "seconds_to_read_once": read_s},
        )
        for system, found in seconds.items()
    ]


def line(row: Row) -> str:
    """Return a row as a line to read."""
    ratio = f"  {row.ratio:5.2f} x" if row.ratio else ""
    wall = row.more.get("wall_ratio", 0.0)
    ratio += f", wall {wall:.1f} x" if ratio and wall else ""
    return (
        f"{row.work:8} {row.texts:24} {row.model:30} {row.system:34} threads {row.threads}"
        f" {row.rate:10,.1f} {row.unit:14}{ratio}"
    )
