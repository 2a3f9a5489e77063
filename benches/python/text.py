"""How fast are texts turned into arrays of ids, beside `tokenizers` and NumPy?

    python benches/python/text.py [--texts FILE] [--tokenizer FILE] [--json FILE] [--most N]

Both sides give int64 arrays of ids and mask, padded to the longest of the 256 texts of a call; they
are asserted equal. Sides take turns by rounds of eight calls, no text comes twice, and the first
round counts. Figures are of processor time, so that others on the machine count little: MB of UTF-8
a second and core; the ratio is the median over the rounds, that of the wall clock beside it.

Both options may be repeated. A file of texts has one a line, of JSONL the longest string of each;
without one: prose and other languages of ../shared/data where it is, else the texts of the demo. A
tokenizer is a tokenizer.json, gzipped or not; without one: every real one of ../shared/data, else
the built-in encoder's.
"""

import argparse
import gzip
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tokenizers
from numpy.typing import NDArray

import magnetite
from magnetite.text import Tokenizer

HOME = Path(magnetite.__file__).parent
SHARED = Path(__file__).parents[3] / "shared" / "data"
BATCH, CALLS = 256, 8
Arrays = tuple[NDArray[np.int64], NDArray[np.int64]]
Side = Callable[[list[str]], Arrays]


def read_text(path: Path) -> str:
    """The text of a file, gzipped or not."""
    raw = path.read_bytes()
    return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")


def read_lines(path: Path) -> list[str]:
    """The lines of a file; of a JSONL file the longest string of each; none twice, none empty."""
    lines = read_text(path).split("\n")
    if ".jsonl" in path.name:
        values = (json.loads(line).values() for line in lines if line)
        lines = [max((v for v in row if isinstance(v, str)), key=len) for row in values]
    return list(dict.fromkeys(filter(None, lines)))


def ours(tokenizer: Tokenizer, threads: int) -> Side:
    """The rectangles at once."""
    return lambda texts: tokenizer.encode_padded(texts, threads=threads)


def peer(tokenizer: tokenizers.Tokenizer) -> Side:
    """`encode_batch_fast`, and the fastest way found from its lists to arrays.

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


def race(sides: dict[str, Side], texts: list[str]) -> dict[str, list[tuple[float, float]]]:
    """Processor and wall seconds of each side in each round; asserts that the arrays are equal."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for first in range(0, len(texts), CALLS * BATCH):
        part = texts[first : first + CALLS * BATCH]
        calls = [part[i : i + BATCH] for i in range(0, len(part), BATCH)]
        answers = []
        for name, side in sides.items():
            begun = time.process_time(), time.perf_counter()
            answers.append([side(call) for call in calls])
            ended = time.process_time(), time.perf_counter()
            seconds[name].append((ended[0] - begun[0], ended[1] - begun[1]))
        for (ids, mask), (others, seen) in zip(*answers, strict=True):
            assert np.array_equal(mask, seen), "lengths differ"
            assert np.array_equal(ids * mask, others), "ids differ"
    return seconds


def measure(path: Path, definition: str, name: str, most: int, threads: int) -> dict[str, object]:
    """One row of the report: both sides on the texts of a file."""
    tokenizer, theirs = Tokenizer.from_json(definition), tokenizers.Tokenizer.from_str(definition)
    theirs.no_padding()
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    texts = read_lines(path)[:most]
    sides = {"magnetite": ours(tokenizer, threads), "tokenizers": peer(theirs)}
    seconds = race(sides, texts)
    size = sum(len(text.encode()) for text in texts) / 1e6
    rate = {side: size / sum(cpu for cpu, _ in rounds) for side, rounds in seconds.items()}
    pairs = list(zip(seconds["magnetite"], seconds["tokenizers"], strict=True))
    ratio = [statistics.median(b[clock] / a[clock] for a, b in pairs) for clock in (0, 1)]
    begun = time.process_time()
    np.frombuffer("".join(texts).encode(), np.uint8).sum()
    work = f"{path.parent.name}/{path.name.partition('.')[0]}"
    print(
        f"{name:34} {tokenizer.engine:18} {work:24} threads {threads}"
        f" {rate['magnetite']:7.1f} and {rate['tokenizers']:5.2f} MB/s a core"
        f" {ratio[0]:5.1f} x, wall {ratio[1]:5.1f} x"
    )
    return {
        "work": work, "tokenizer": name, "engine": tokenizer.engine, "threads": threads,
        "n": len(texts), "megabytes": size, "quality": "ids equal", "batch": BATCH,
        "version": magnetite.__version__, "peer": f"tokenizers {tokenizers.__version__}",
        "mb_per_core_second": rate["magnetite"], "peer_mb_per_core_second": rate["tokenizers"],
        "ratio": ratio[0], "wall_ratio": ratio[1],
        "seconds_to_read_once": time.process_time() - begun,
    }  # fmt: skip


def main() -> None:
    """Let both sides run on every file by every tokenizer, print and store the rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--texts", type=Path, action="append")
    parser.add_argument("--tokenizer", type=Path, action="append")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--most", type=int, default=6_000, help="texts of a file (6000)")
    parser.add_argument("--threads", type=int, action="append")
    asked = parser.parse_args()
    prose = [SHARED / "prose" / f"{name}.jsonl.gz" for name in ("paragraphs", "sentences")]
    others = sorted(SHARED.glob("xquad_r_public/*/corpus.jsonl"))
    others += sorted(SHARED.glob("tatoeba_public/*.tsv"))
    shared = [path for path in (*prose, *others) if path.exists()]
    files = asked.texts or shared or sorted((HOME / "demo" / "scifact").glob("*.jsonl.gz"))
    real = sorted(SHARED.glob("tokenizers/*/tokenizer.json*"))
    real = [path for path in real if not path.parent.name.startswith("tiny-")]
    rows = []
    for source in asked.tokenizer or real or [HOME / "encode" / "builtin" / "tokenizer.json"]:
        definition = read_text(source)
        for path, threads in itertools.product(files, asked.threads or [1, 2]):
            rows.append(measure(path, definition, source.parent.name, asked.most, threads))
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
