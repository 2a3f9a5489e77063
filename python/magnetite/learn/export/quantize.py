"""Quantized graphs of a sealed encoder, made and measured on this CPU; the best one is kept."""

import logging
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from magnetite.encode import Encoder
from magnetite.encode.artifact import (
    ENCODER,
    GOLDEN,
    MODEL,
    QUANTIZED,
    TOKENIZER,
    WEIGHTS,
    Artifact,
    Manifest,
    free_directory,
)
from magnetite.encode.engines import BATCH_TOKENS
from magnetite.encode.golden import Golden
from magnetite.encode.quantization import LEAST_SPEED, Figures, choose
from magnetite.encode.session import Cells, Session
from magnetite.encode.verify import cosines, golden_cosine, scale
from magnetite.evaluate import Beir, mean, score
from magnetite.evaluate.metrics import check_installed
from magnetite.evaluate.retrieve import retrieve
from magnetite.learn.export import graph, int8
from magnetite.text import Tokens, pack

MEASURE = "nDCG@10"
ROUNDS = 5
"""In which every graph runs every batch once, after one that does not count."""
FEWEST_TEXTS = 12
MOST_TEXTS = 192
"""Spread over those given. A third calibrates; the others are compared, and some of them timed."""
TIMED_TOKENS = 4_096
COMPANY = 16
"""Texts that are compared alone and in one batch."""
WORST = 6
"""One in so many products stays in fp32 where the worst do."""


@dataclass(frozen=True)
class Source:
    """A graph, and what it computes on the texts that calibrate."""

    graph: onnx.ModelProto
    batches: Sequence[Cells]

    @cached_property
    def roundings(self) -> dict[str, int8.Rounding]:
        """How each product becomes one of bytes."""
        return int8.roundings(self.graph, int8.watch(self.graph, self.batches))


def _int8(source: Source) -> onnx.ModelProto:
    """Return the graph with every product by a constant of bytes."""
    return int8.quantize(source.graph, source.roundings)


def _int8_but_worst(source: Source) -> onnx.ModelProto:
    """Return the same, but the products that rounding changes most stay in fp32."""
    how = source.roundings
    worst = sorted(how, key=lambda name: -how[name].error)[: max(1, len(how) // WORST)]
    return int8.quantize(source.graph, how, keep=worst)


def _weights(source: Source, *, bits: int, accuracy: int, block: int) -> onnx.ModelProto:
    """Return the graph with weights of so many bits, a scale for each block of a column.

    With accuracy 4 activations are bytes, too, with a scale for each block of a row; with 0 weights
    become floats again.
    """
    with _quiet_import():
        from onnxruntime.quantization.matmul_nbits_quantizer import (
            DefaultWeightOnlyQuantConfig,
            MatMulNBitsQuantizer,
        )
    how = DefaultWeightOnlyQuantConfig(
        block_size=block, is_symmetric=True, accuracy_level=accuracy, bits=bits
    )
    model = onnx.ModelProto()
    model.CopyFrom(source.graph)
    tool = MatMulNBitsQuantizer(model, algo_config=how)
    tool.process()
    return tool.model.model


CANDIDATES: dict[str, Callable[[Source], onnx.ModelProto]] = {
    "int8": _int8,
    "int8-but-worst": _int8_but_worst,
    "weights8": partial(_weights, bits=8, accuracy=4, block=128),
    "weights8-float": partial(_weights, bits=8, accuracy=0, block=128),
    "weights4": partial(_weights, bits=4, accuracy=4, block=32),
    "weights4-float": partial(_weights, bits=4, accuracy=0, block=32),
}


def quantize(
    source: Artifact,
    out: str | os.PathLike[str],
    *,
    name: str | None = None,
    texts: Sequence[str] | None = None,
    judged: Beir | None = None,
    threads: int | None = None,
) -> Artifact:
    """Return the artifact of `source` and the quantized graph that was chosen, written to `out`.

    Chosen is the fastest on this CPU, if it is faster than fp32, of those that keep a text's vector
    to 1e-6 whatever its batch, every cosine to fp32 above `LEAST_COSINE` and nDCG@10 within
    `MOST_LOSS`. If there is none the artifact runs fp32. Either way artifact.json says what was
    measured.

    Args:
        source: An encoder of ONNX Runtime.
        out: A directory that does not exist yet.
        name: Which of `CANDIDATES` to take, whatever its speed here; None for the fastest.
        texts: Such as will be encoded, to calibrate, time and compare with; at least 12. Without
            them, abstracts and claims of SciFact.
        judged: What nDCG@10 is lost of; else SciFact.
        threads: For encoding what is judged; timed is one thread.

    Raises:
        FileExistsError: `out` holds something.
        MissingExtraError: The extra `eval` is not installed.
        ValueError: `source` cannot be quantized, the name is unknown or its graph fails a bound,
            or there are too few texts.
    """
    out = free_directory(out)
    check_asked(name)
    _check_source(source)
    data = _scifact() if judged is None else judged
    listed = _spread(_usual(data) if texts is None else texts)
    calibrating, compared = listed[::3], [one for n, one in enumerate(listed) if n % 3]
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        names = list(CANDIDATES) if name is None else [name]
        trials = _trials(source, names, calibrating, Path(folder))
        fp32 = cache(lambda: _ndcg(source, data, threads))
        found = measure(source, trials, compared)
        chosen, figures = choose(
            found,
            lambda one: fp32() - _ndcg(trials[one], data, threads),
            LEAST_SPEED if name is None else 0.0,
        )
        if name is not None and chosen is None:
            raise ValueError(f"{name} {figures[0].verdict}; nothing was written")
        said = {
            "chosen": chosen,
            "cpu": _cpu_name(),
            "texts": len(compared),
            "judged": f"{data.name}/{data.split}",
            "ndcg": fp32() if any(one.loss is not None for one in figures) else None,
            "candidates": [asdict(one) for one in figures],
        }
        return _seal(source, trials.get(chosen or ""), said, out)


def check_asked(name: str | None) -> None:
    """Refuse a name that none of `CANDIDATES` has, and an installation that cannot judge them."""
    if name is not None and name not in CANDIDATES:
        raise ValueError(
            f"no quantized graph is called {name!r}; there are {', '.join(CANDIDATES)}"
        )
    check_installed()


def _check_source(source: Artifact) -> None:
    manifest = source.manifest
    if manifest.kind != ENCODER or manifest.engine != "onnx":
        what = manifest.kind if manifest.kind != ENCODER else f"{manifest.engine} encoder"
        raise ValueError(f"{source.directory} is a {what}; only an onnx encoder can be quantized")
    if manifest.quantized:
        raise ValueError(
            f"{source.directory} is quantized already ({manifest.quantized}); give the artifact "
            "without, or export the model again"
        )


def _scifact() -> Beir:
    from magnetite.demo.data import scifact

    return scifact()


def _usual(data: Beir) -> list[str]:
    """Return documents and queries of a judged set, two to one."""
    documents, queries = data.corpus.passages(), list(data.queries.values())
    most = MOST_TEXTS // 3
    return [*_every(documents, 2 * most), *_every(queries, most)]


def _every(texts: Sequence[str], most: int) -> list[str]:
    """Return at most so many, spread over all."""
    return list(texts[:: max(1, -(-len(texts) // most))])


def _spread(texts: Sequence[str]) -> list[str]:
    listed = _every([text for text in texts if text.strip()], MOST_TEXTS)
    if len(listed) < FEWEST_TEXTS:
        raise ValueError(
            f"{len(listed)} texts that are not blank; at least {FEWEST_TEXTS} are needed to "
            "calibrate and to compare"
        )
    return listed


def _trials(
    source: Artifact, names: Sequence[str], texts: Sequence[str], folder: Path
) -> dict[str, Artifact]:
    """Return an artifact for each candidate, unsealed, in `folder`."""
    model = onnx.load(source.directory / MODEL)
    _declare_contrib(model)
    tokens = Encoder(source).tokenize(texts)
    widths = np.maximum(np.diff(tokens.starts), 1)
    cells = [tokens.fill(np.array([row]), int(width)) for row, width in enumerate(widths)]
    given = Source(model, cells)
    shared = (WEIGHTS, TOKENIZER)
    for file in shared:
        shutil.copyfile(source.directory / file, folder / file)
    trials = {}
    for name in names:
        place = folder / name
        place.mkdir()
        for file in shared:
            os.link(folder / file, place / file)
        write(CANDIDATES[name](given), place)
        manifest = replace(source.manifest, quantization={"chosen": name})
        trials[name] = replace(source, directory=place, manifest=manifest)
    return trials


def _declare_contrib(model: onnx.ModelProto) -> None:
    """Name the operators that ONNX Runtime has beyond the standard's, once."""
    if all(one.domain != "com.microsoft" for one in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))


def write(model: onnx.ModelProto, folder: Path) -> None:
    """Write a quantized graph that refers to the weights in `folder` for those that it keeps."""
    spans = graph.tensor_spans(folder / WEIGHTS)
    for one in model.graph.initializer:
        if one.name in spans:
            graph.refer(one, *spans[one.name])
    onnx.save(model, folder / QUANTIZED)


def measure(
    source: Artifact, trials: Mapping[str, Artifact], texts: Sequence[str]
) -> list[Figures]:
    """Return the figures of every trial beside `source`, on one thread of this CPU."""
    encoder = Encoder(source, threads=1)
    tokens = encoder.tokenize(texts)
    lengths = np.diff(tokens.starts)
    packed = pack(lengths, BATCH_TOKENS, encoder.max_tokens)
    wanted = max(1, TIMED_TOKENS // BATCH_TOKENS)
    timed = packed[:: max(1, len(packed) // wanted)]
    batches = [tokens.fill(*one) for one in timed]
    graphs = {"": source.graph} | {name: trial.graph for name, trial in trials.items()}
    seconds = race({name: Session(path, 1) for name, path in graphs.items()}, batches)
    rows = np.argsort(lengths, kind="stable")[:: max(1, len(lengths) // COMPANY)]
    wanted_vectors = encoder.encode(texts, show_progress=False)
    found = []
    for name, trial in trials.items():
        vectors = Encoder(trial, threads=1).encode(texts, show_progress=False)
        near = cosines(vectors, wanted_vectors)
        ratios = (a / b for a, b in zip(seconds[""], seconds[name], strict=True))
        figures = Figures(
            name=name,
            speed=round(statistics.median(ratios), 3),
            apart=_apart(Session(trial.graph, 1), encoder.tokenize([texts[row] for row in rows])),
            cosine=float(near.min()),
            mean_cosine=float(near.mean()),
        )
        found.append(figures)
    return found


def race(sessions: Mapping[str, Session], batches: Sequence[Cells]) -> dict[str, list[float]]:
    """Return the seconds of this thread's processor that each graph took a round, by turns."""
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for number in range(ROUNDS + 1):
        for name, session in sessions.items():
            begun = time.thread_time()
            for cells in batches:
                session.run(*cells)
            if number:
                seconds[name].append(time.thread_time() - begun)
    return seconds


def _apart(session: Session, tokens: Tokens) -> float:
    """Return how far texts alone are from the same in one batch: the largest coordinate."""
    widths = np.maximum(np.diff(tokens.starts), 1)
    rows = np.arange(len(widths))
    together = session.run(*tokens.fill(rows, int(widths.max())))
    alone = [session.run(*tokens.fill(rows[row : row + 1], int(widths[row]))) for row in rows]
    return graph.largest(np.concatenate(alone) - together) / scale(together)


def _ndcg(artifact: Artifact, data: Beir, threads: int | None) -> float:
    run = retrieve(Encoder(artifact, threads=threads), data, k=10, threads=threads)
    return mean(score(data.qrels, run, [MEASURE])[MEASURE])


def _seal(source: Artifact, trial: Artifact | None, said: dict[str, Any], out: Path) -> Artifact:
    """Return the artifact of `source` with the graph of `trial`, if any, and what was measured."""

    def fill(folder: Path) -> Manifest:
        for file in (MODEL, WEIGHTS, TOKENIZER, GOLDEN):
            shutil.copyfile(source.directory / file, folder / file)
        if trial is not None:
            shutil.copyfile(trial.graph, folder / QUANTIZED)
            golden = Golden.read(folder / GOLDEN, source.manifest.dim)
            said["golden_cosine"] = golden_cosine(Encoder(trial, threads=1), golden)
        return replace(source.manifest, quantization=said)

    return Artifact.seal(out, fill)


def _cpu_name() -> str:
    """Return what this machine's processor calls itself."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@contextmanager
def _quiet_import() -> Iterator[None]:
    """Undo what importing a tool does to the logging of everybody: it sets up the root logger."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
