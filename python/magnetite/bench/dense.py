"""Speed at equal recall: every system swept, then timed in turns at exactly the recall wanted.

A system's curve is the frontier of its settings: recall over all queries against processor time of
one thread (what other processes do does not count), the best of three passes. The two settings
around a wanted recall are then timed for real, all systems in turns, several rounds; the speed at
exactly that recall lies between their medians, straight in its logarithm.
"""

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from magnetite._core import resolve_threads
from magnetite.bench import peers
from magnetite.bench.curve import Point, Setting, around, at, frontier
from magnetite.bench.data import Data, Floats
from magnetite.bench.systems import Ours, System

ALL = 0  # a batch of all queries
PASSES = 3  # over the settings of a sweep, of which the fastest counts
CLASSES = ("exact", "f32", "int8")
EXACT = 0.9995  # recall below which a search is not exact; ties may go either way


@dataclass(frozen=True)
class Options:
    """What to measure."""

    against: tuple[str, ...] = ("faiss", "hnswlib", "usearch", "scann")
    classes: tuple[str, ...] = CLASSES
    threads: tuple[int, ...] = (1, 2)
    batches: tuple[int, ...] = (1, 32, ALL)
    recalls: tuple[float, ...] = (0.90, 0.95, 0.99)
    k: int = 10
    rounds: int = 5
    seconds: float = 0.3  # of one system in one round, about
    quick: bool = False
    cache: Path | None = None  # the peers' built indexes and curves
    cached_only: bool = False  # leave out peers that the cache does not hold


@dataclass(frozen=True)
class Row:
    """One measurement."""

    work: str  # exact, or recall@k = what was wanted
    class_: str  # exact; f32 or int8 originals
    system: str
    version: str
    settings: str
    n: int
    dim: int
    threads: int
    batch: int  # queries in a call
    quality: float  # recall@k against exact search
    rate: float  # queries per second
    p50: float  # seconds a call
    p99: float
    bytes: int  # the index on disk
    build_s: float
    way: str = "exact"  # lists, graph or exact
    ratio: float = 0.0  # our rate / the best peer's of the class, at this work, threads and batch
    ratio_lists: float = 0.0  # the same among peers with lists
    ratio_graph: float = 0.0

    def as_json(self) -> str:
        """Return one line."""
        return json.dumps({name.rstrip("_"): value for name, value in asdict(self).items()})


@dataclass(frozen=True)
class Candidate:
    """A system that was built and swept."""

    system: System
    path: Path
    bytes: int
    build_s: float
    points: tuple[Point, ...]  # the frontier


@dataclass
class Report:
    """All that was measured."""

    data: Data
    rows: list[Row] = field(default_factory=list)
    curves: dict[str, list[Candidate]] = field(default_factory=dict)  # by class


Say = Callable[[str], None]


def run(
    data: Data, options: Options, say: Say, keep: Callable[[Row], None] = lambda _: None
) -> Report:
    """Build, sweep and time every system; `say` hears of each step, `keep` gets each row."""
    report = Report(data)
    with _folder(options.cache) as folder:
        for class_ in options.classes:
            systems = _systems(class_, data, options)
            if options.cached_only:
                about = [_home(system, data, folder) / "about.json" for system in systems]
                pairs = zip(systems, about, strict=True)
                systems = [system for system, at in pairs if system.ours or at.is_file()]
            found = [_prepare(system, data, options, folder, say) for system in systems]
            report.curves[class_] = found
            wanted = (EXACT,) if class_ == "exact" else options.recalls
            for recall in wanted:
                for row in _measure(class_, recall, found, data, options, say):
                    keep(row)
                    report.rows.append(row)
    return report


def _systems(class_: str, data: Data, options: Options) -> list[System]:
    n, dim = data.vectors.shape
    thorough = not options.quick
    if class_ == "exact":
        return [Ours("magnetite flat", "exact", (("kind", "flat"),)), *peers.exact(options.against)]
    if class_ == "f32":
        ours = Ours("magnetite ivf", "lists", (("kind", "ivf"),), thorough)
        return [ours, *peers.floats(options.against, n, dim, thorough=thorough)]
    storage = (("kind", "ivf"), ("storage", "int8"))
    ours = Ours("magnetite ivf int8", "lists", storage, thorough)
    return [ours, *peers.integers(options.against, n, dim)]


def _home(system: System, data: Data, folder: Path) -> Path:
    """Return where the index and the curve of a system are kept."""
    about = f"{data.fingerprint()} {system.name} {system.version()} {resolve_threads()}T"
    return folder / re.sub(r"[^\w]+", "-", about)


def _prepare(system: System, data: Data, options: Options, folder: Path, say: Say) -> Candidate:
    """Build and sweep a system, or take what an earlier run kept of a peer."""
    path = _home(system, data, folder)
    about, index = path / "about.json", None
    swept = [data.asked(), options.k, min(options.recalls), max(options.recalls), PASSES]
    said = {} if system.ours or not about.is_file() else json.loads(about.read_text())
    if not said:
        path.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        with peers.quiet():
            index = system.build(data.vectors, resolve_threads())
        said["build_s"] = time.perf_counter() - start
        _remove(path / "index")
        said["bytes"] = system.write(index, path / "index")
        say(
            f"{system.name}: built in {said['build_s']:.1f} s with {resolve_threads()} threads, "
            f"{said['bytes'] / len(data.vectors):.0f} bytes a vector"
        )
    if said.get("swept") != swept:
        with peers.quiet():
            index = system.read(path / "index", data.vectors) if index is None else index
        points = _sweep(system, index, data, options)
        say(f"{system.name}: {len(points)} settings worth having")
        said["swept"] = swept
        said["points"] = [(point.recall, point.rate, point.setting) for point in points]
        about.write_text(json.dumps(said))
    points = [Point(recall, rate, tuple(setting)) for recall, rate, setting in said["points"]]
    return Candidate(system, path / "index", said["bytes"], said["build_s"], tuple(points))


def _sweep(system: System, index: Any, data: Data, options: Options) -> list[Point]:
    """Return the frontier of a system's settings; speed by processor time of one thread."""
    settings = system.settings(index)
    if settings == [()]:
        few = replace(data, queries=data.queries[:200], truth=data.truth[:200])
        return [_point(system, index, few, options.k, ())]
    some = replace(data, queries=data.queries[::5].copy(), truth=data.truth[::5])
    rough = frontier(_points(system, index, some, options.k, settings))
    low, high = min(options.recalls) - 0.1, max(options.recalls) + 0.01
    near = [point for point in rough if low <= point.recall <= high] or rough
    near += rough[rough.index(near[-1]) + 1 :][:1]  # the first beyond
    return frontier(_points(system, index, data, options.k, [point.setting for point in near]))


def _points(
    system: System, index: Any, data: Data, k: int, settings: Sequence[Setting]
) -> list[Point]:
    """Return what each setting reaches and its speed: the best pass, as disturbances only slow."""
    passes = [
        [_point(system, index, data, k, setting) for setting in settings] for _ in range(PASSES)
    ]
    return [max(same, key=lambda point: point.rate) for same in zip(*passes, strict=True)]


def _point(system: System, index: Any, data: Data, k: int, setting: Setting) -> Point:
    """Return what a setting reaches and its speed, by processor time of one thread."""
    start = time.process_time()
    ids = system.search(index, data.queries, k, setting, 1)
    taken = time.process_time() - start
    return Point(data.recall(ids, k), len(data.queries) / taken, setting)


def _measure(
    class_: str,
    recall: float,
    found: Sequence[Candidate],
    data: Data,
    options: Options,
    say: Say,
) -> Iterator[Row]:
    """Time ours and the peers that matter at `recall`, for all threads and batches."""
    work = "exact" if class_ == "exact" else f"recall@{options.k} = {recall:g}"
    for candidate in found:
        if not around(candidate.points, recall):
            highest = max(point.recall for point in candidate.points)
            say(f"{work}: {candidate.system.name} reaches {highest:.4f} in this sweep")
    chosen = _chosen(found, recall)
    runs = [_Run(candidate, data, options, recall) for candidate in chosen]
    for threads in options.threads:
        for batch in _batches(class_, len(data.queries), options):
            times = _in_turns(runs, batch, threads, data, options)
            some = [
                run.row(work, class_, recall, threads, batch, kept)
                for run, kept in zip(runs, times, strict=True)
            ]
            for row in _with_ratios(some):
                say(show(row))
                yield row


def _chosen(found: Sequence[Candidate], recall: float) -> list[Candidate]:
    """Return ours and, of the peers at `recall`, the two fastest with lists and one graph.

    Exact search has few peers: all of them.
    """
    able = [candidate for candidate in found if around(candidate.points, recall)]

    def speed(candidate: Candidate) -> float:
        points = around(candidate.points, recall)
        return at(recall, [point.recall for point in points], [point.rate for point in points])

    able.sort(key=speed, reverse=True)
    ours = [candidate for candidate in able if candidate.system.ours]
    theirs = [candidate for candidate in able if not candidate.system.ours]
    exact = [candidate for candidate in theirs if candidate.system.way == "exact"]
    lists = [candidate for candidate in theirs if candidate.system.way == "lists"]
    graphs = [candidate for candidate in theirs if candidate.system.way == "graph"]
    return [*ours, *exact, *lists[:2], *graphs[:1]]


def _batches(class_: str, queries: int, options: Options) -> list[int]:
    """Return the batches; a thousand stand for all in exact search."""
    most = min(queries, 1_000) if class_ == "exact" else queries
    return [min(batch or most, most) for batch in options.batches]


class _Run:
    """A system's index in memory, and its settings around the recall wanted."""

    def __init__(self, candidate: Candidate, data: Data, options: Options, recall: float) -> None:
        self.candidate, self.shape, self.k = candidate, data.vectors.shape, options.k
        with peers.quiet():
            self.index = candidate.system.read(candidate.path, data.vectors)
        self.points = around(candidate.points, recall)

    def seconds(self, setting: Setting, calls: Sequence[Floats], threads: int) -> list[float]:
        """Return what each call takes; a first one is not counted."""
        taken = []
        for number, queries in enumerate([calls[0], *calls]):
            start = time.perf_counter()
            self.candidate.system.search(self.index, queries, self.k, setting, threads)
            if number:
                taken.append(time.perf_counter() - start)
        return taken

    def row(
        self,
        work: str,
        class_: str,
        recall: float,
        threads: int,
        batch: int,
        times: Sequence[Sequence[Sequence[float]]],  # setting, round, call
    ) -> Row:
        """Return medians over the rounds, at exactly the recall wanted."""
        recalls = [point.recall for point in self.points]

        def between(values: Sequence[float]) -> float:
            return at(recall, recalls, values)

        rates = [
            1 / float(np.median([np.mean(calls) / batch for calls in rounds])) for rounds in times
        ]
        each = [np.concatenate([np.asarray(calls) for calls in rounds]) for rounds in times]
        system = self.candidate.system
        return Row(
            work=work,
            class_=class_,
            system=system.name,
            version=system.version(),
            settings=" | ".join(system.say(point.setting) for point in self.points),
            n=self.shape[0],
            dim=self.shape[1],
            threads=threads,
            batch=batch,
            quality=recalls[-1] if recalls[0] >= recall else recall,
            rate=between(rates),
            p50=between([float(np.median(calls)) for calls in each]),
            p99=between([float(np.quantile(calls, 0.99)) for calls in each]),
            bytes=self.candidate.bytes,
            build_s=self.candidate.build_s,
            way=system.way,
        )


def _in_turns(
    runs: Sequence[_Run], batch: int, threads: int, data: Data, options: Options
) -> list[list[list[list[float]]]]:
    """Return seconds by run, setting, round and call; the runs take turns in every round."""
    times: list[list[list[list[float]]]] = [[[] for _ in run.points] for run in runs]
    with _blas(threads):
        for _ in range(options.rounds):
            for run, kept in zip(runs, times, strict=True):
                for point, rounds in zip(run.points, kept, strict=True):
                    calls = _calls(data.queries, batch, point.rate, options.seconds)
                    rounds.append(run.seconds(point.setting, calls, threads))
    return times


def _calls(queries: Floats, batch: int, rate: float, seconds: float) -> list[Floats]:
    """Return batches that take about `seconds` at `rate`; enough of one query for a quantile."""
    enough = int(seconds * rate / batch)
    count = min(max(enough, 100 if batch == 1 else 1), len(queries) // batch)
    return [queries[start : start + batch] for start in range(0, count * batch, batch)]


def _with_ratios(rows: list[Row]) -> list[Row]:
    """Return the rows, ours with its ratios to the best peers."""

    def ratio(row: Row, ways: tuple[str, ...]) -> float:
        rates = [peer.rate for peer in rows if peer is not row and peer.way in ways]
        return row.rate / max(rates) if rates else 0.0

    first = rows[0]
    if not first.system.startswith("magnetite"):
        return rows
    best = ratio(first, ("exact", "lists", "graph"))
    lists, graph = ratio(first, ("lists",)), ratio(first, ("graph",))
    return [replace(first, ratio=best, ratio_lists=lists, ratio_graph=graph), *rows[1:]]


@contextmanager
def _blas(threads: int) -> Iterator[None]:
    """Hold NumPy's matrix multiplication to `threads`, where that can be done."""
    try:
        from threadpoolctl import threadpool_limits
    except ModuleNotFoundError:
        yield
        return
    with threadpool_limits(threads, user_api="blas"):
        yield


@contextmanager
def _folder(cache: Path | None) -> Iterator[Path]:
    if cache is not None:
        yield cache
        return
    with tempfile.TemporaryDirectory(prefix="magnetite-bench-") as folder:
        yield Path(folder)


def _remove(path: Path) -> None:
    """Remove an index that an earlier run left."""
    if path.is_dir():
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    path.unlink(missing_ok=True)


def show(row: Row) -> str:
    """Return a row as one line."""
    ratio = f"  {row.ratio:.2f} x the best" if row.ratio else ""
    return (
        f"{row.class_:5} {row.work:16} {row.threads}T batch {row.batch:<5} {row.system:36} "
        f"{row.rate:9,.0f}/s  p50 {row.p50 * 1e6:9,.0f} us  p99 {row.p99 * 1e6:9,.0f} us  "
        f"{row.bytes / row.n:5.0f} B/vector  build {row.build_s:5.1f} s  {row.settings}{ratio}"
    )


def summary(rows: Sequence[Row]) -> str:
    """Return the table of our rates and their ratios, one line a piece of work."""
    lines = [
        f"{'class':5} {'work':16} {'thr':>3} {'batch':>5} {'ours/s':>9} {'p50 us':>8} {'B/vec':>6} "
        f"{'/lists':>7} {'/graph':>7} {'/best':>7}  best peer"
    ]
    for row in rows:
        if not row.ratio:
            continue
        same = (row.class_, row.work, row.threads, row.batch)
        theirs = [
            peer
            for peer in rows
            if (peer.class_, peer.work, peer.threads, peer.batch) == same and peer is not row
        ]
        best = max(theirs, key=lambda peer: peer.rate)
        lists = f"{row.ratio_lists:.2f}" if row.ratio_lists else "-"
        graph = f"{row.ratio_graph:.2f}" if row.ratio_graph else "-"
        lines.append(
            f"{row.class_:5} {row.work:16} {row.threads:3} {row.batch:5} {row.rate:9,.0f} "
            f"{row.p50 * 1e6:8,.0f} {row.bytes / row.n:6.0f} {lists:>7} {graph:>7} "
            f"{row.ratio:7.2f}  {best.system} {best.rate:,.0f}/s {best.bytes / best.n:.0f} B"
        )
    return "\n".join(lines)
