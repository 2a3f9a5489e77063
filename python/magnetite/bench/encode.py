"""How fast do texts become vectors, beside sentence-transformers and beside ONNX Runtime alone?

Every round times every side once, in turn, so that a machine that slows down slows all of them; a
ratio is the median over the rounds. The first round is thrown away, loading is not timed. ONNX
Runtime alone runs the very batches that `encode` packs, prepared beforehand, by as many threads in
the same session: what `encode` takes beyond that is everything else that it does.
"""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

import magnetite
from magnetite.bench.text import Row, Texts
from magnetite.encode import Encoder
from magnetite.encode.engines import BATCH_TOKENS, Batch, Done, Filling, OnnxEngine, Window
from magnetite.encode.session import Ids, Session, Vectors, run_batches

OURS = "magnetite"
BUILT_IN = "magnetite, built-in encoder"
ALONE = "onnxruntime alone, same batches"
USUAL = "onnxruntime, all threads a batch"
PEER = "sentence-transformers"
USUAL_TOKENS = 1024
"""The best budget for a batch that all threads share, of those that were tried."""


@dataclass
class Side:
    """One way from texts to vectors; `run` is what is timed."""

    name: str
    settings: str
    run: Callable[[], Vectors | None]
    batch: int  # texts in a call, or tokens in a batch
    build_s: float = 0.0


@dataclass
class _Prepared:
    """A batch whose vectors nobody keeps."""

    ids: Ids
    mask: Ids

    def cells(self) -> tuple[Ids, Ids]:
        return self.ids, self.mask

    def keep(self, vectors: Vectors) -> None:
        pass


def some(texts: Texts, count: int) -> Texts:
    """Return `count` texts spread over all, fewer where they are long."""
    mean = sum(map(len, texts.texts)) / max(1, len(texts.texts))
    count = max(1, min(count, round(count * 150 / max(mean, 1))))
    step = max(1, len(texts.texts) // count)
    return Texts(texts.name, texts.texts[::step][:count])


@contextmanager
def sealed(model: Path) -> Iterator[Path]:
    """Give an artifact as it is, another folder exported for the time of the bench."""
    if (model / "artifact.json").is_file():
        yield model
        return
    from magnetite.learn.export import export

    with tempfile.TemporaryDirectory() as folder:
        export(model, Path(folder) / "artifact")
        yield Path(folder) / "artifact"


def measure(
    texts: Texts, model: Path, artifact: Path, threads: int, rounds: int, against: Sequence[str]
) -> list[Row]:
    """Return a row for each side; `artifact` is that of `model`, which the peer can load or not."""
    start = time.perf_counter()
    ours = Encoder.load(artifact, threads=threads)
    loaded = time.perf_counter() - start
    sides = [Side(OURS, "encode", _encoding(ours, texts), len(texts.texts), loaded)]
    done = Done()
    if isinstance(ours.engine, OnnxEngine):
        sides += alone(ours, texts, done)
    if PEER in against and artifact != model:
        sides.append(_peer(model, texts, threads))
    small = Encoder.load(threads=threads)
    sides.append(Side(BUILT_IN, "encode", _encoding(small, texts), len(texts.texts)))
    seconds, vectors = _race(sides, rounds)
    return [_row(side, texts, model, threads, seconds, vectors, ours.dim, done) for side in sides]


def _encoding(encoder: Encoder, texts: Texts) -> Callable[[], Vectors]:
    return lambda: encoder.encode(texts.texts, show_progress=False)


def alone(ours: Encoder, texts: Texts, done: Done) -> list[Side]:
    """Return the graph alone, as `encode` runs it and as it is usually run; fill `done`."""
    engine = ours.engine
    assert isinstance(engine, OnnxEngine)

    def batches(batch_tokens: int) -> list[Batch]:
        window = Window(texts.texts, np.empty((len(texts.texts), ours.dim), np.float32))
        filling = Filling(window, threading.Lock(), lambda _: None)
        return engine.batches(filling, batch_tokens, ours.threads)

    def side(name: str, session: Session, batch_tokens: int, batches: Sequence[Batch]) -> Side:
        packed = [_Prepared(*batch.cells()) for batch in batches]
        settings = f"{session.at_once} x {session.threads} threads"
        return Side(name, settings, lambda: run_batches(session, iter([packed])), batch_tokens)

    same = batches(BATCH_TOKENS)
    for batch in same:
        done += batch.done
    return [
        side(ALONE, engine.session(same), BATCH_TOKENS, same),
        side(USUAL, engine.together, USUAL_TOKENS, batches(USUAL_TOKENS)),
    ]


def _peer(model: Path, texts: Texts, threads: int) -> Side:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    start = time.perf_counter()
    theirs = SentenceTransformer(str(model), device="cpu")
    loaded = time.perf_counter() - start

    def encode() -> Vectors:
        return np.asarray(theirs.encode(texts.texts, show_progress_bar=False), np.float32)

    return Side(PEER, "encode", encode, 32, loaded)


@dataclass
class Times:
    """Seconds of every round: of the wall clock, and of the processor."""

    wall: list[float]
    cpu: list[float]


def _race(sides: Sequence[Side], rounds: int) -> tuple[dict[str, Times], dict[str, Vectors | None]]:
    """Return the seconds of every round, and what came out, by side."""
    seconds = {side.name: Times([], []) for side in sides}
    vectors: dict[str, Vectors | None] = {}
    for number in range(rounds + 1):
        for side in sides:
            wall, cpu = time.perf_counter(), time.process_time()
            vectors[side.name] = side.run()
            if number:
                seconds[side.name].wall.append(time.perf_counter() - wall)
                seconds[side.name].cpu.append(time.process_time() - cpu)
    return seconds, vectors


def _over(seconds: dict[str, Times], one: str, other: str) -> tuple[float, float]:
    """Return how many times as long the other takes: the median over the rounds; wall, processor.

    Zeros where the other did not run.
    """
    if other not in seconds:
        return 0.0, 0.0
    (mine, theirs) = seconds[one], seconds[other]
    pairs = zip(theirs.wall, mine.wall, strict=True), zip(theirs.cpu, mine.cpu, strict=True)
    wall, cpu = (statistics.median(b / a for b, a in clock) for clock in pairs)
    return wall, cpu


def _row(
    side: Side,
    texts: Texts,
    model: Path,
    threads: int,
    seconds: dict[str, Times],
    vectors: dict[str, Vectors | None],
    dim: int,
    done: Done,
) -> Row:
    own = seconds[side.name].wall
    versions = {ALONE: "onnxruntime", USUAL: "onnxruntime", PEER: PEER}
    package = versions.get(side.name)

    cosines = np.zeros(1)
    if (mine := vectors[OURS]) is not None and (theirs := vectors.get(PEER)) is not None:
        cosines = (mine * theirs).sum(1)
    more = {"tokens_per_second": done.tokens / statistics.median(own), "padding": done.padding}
    ratio = 0.0
    if side.name == OURS:
        ratio, more["cpu_ratio"] = _over(seconds, OURS, PEER)
    if side.name == OURS and done.cells:
        wall, cpu = _over(seconds, ALONE, OURS)
        more |= {"times_onnxruntime_alone": wall, "cpu_times_onnxruntime_alone": cpu}
        wall, cpu = _over(seconds, OURS, USUAL)
        more |= {"over_all_threads": wall, "cpu_over_all_threads": cpu}
    return Row(
        work="encode",
        texts=texts.name,
        model="built-in" if side.name == BUILT_IN else model.name,
        system=side.name,
        version=metadata.version(package) if package else magnetite.__version__,
        settings=side.settings,
        n=len(texts.texts),
        dim=dim,
        threads=threads,
        batch=side.batch,
        quality=float(cosines.min()) if side.name in (OURS, PEER) else 0.0,
        rate=len(texts.texts) / statistics.median(own),
        unit="texts/s",
        p50=float(np.quantile(own, 0.5)),
        p99=float(np.quantile(own, 0.99)),
        bytes=texts.bytes,
        build_s=side.build_s,
        ratio=ratio,
        more=more,
    )
