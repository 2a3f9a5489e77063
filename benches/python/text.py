"""How fast are texts turned into arrays of ids, beside `tokenizers` and NumPy?

    python benches/python/text.py [--texts FILE] [--tokenizer FILE] [--json FILE]

Both sides give int64 arrays of ids and mask, padded to the longest of 256 texts, cut to 256 tokens.
The ids are asserted equal. Sides take turns; each figure is the median of five. `--texts` takes a
file of your own, one text a line; without it the abstracts and the claims that the package ships.
"""

import argparse
import gzip
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
from magnetite.text import Tokenizer, pack

HOME = Path(magnetite.__file__).parent
BATCH, MAX_TOKENS, RUNS = 256, 256, 5
Side = Callable[[list[str]], list[NDArray[np.int64]]]


def read_lines(path: Path) -> list[str]:
    """The lines of a file, gzipped or not; of a JSONL file the longest string of each."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = raw.decode("utf-8").splitlines()
    if ".jsonl" not in path.name:
        return lines
    return [max((v for v in json.loads(x).values() if isinstance(v, str)), key=len) for x in lines]


def ours(tokenizer: Tokenizer, threads: int) -> Side:
    """One ragged call, then rectangles of like rows."""

    def run(texts: list[str]) -> list[NDArray[np.int64]]:
        tokens = tokenizer.encode_batch(texts, max_tokens=MAX_TOKENS, threads=threads)
        rows = [np.arange(i, min(i + BATCH, len(texts))) for i in range(0, len(texts), BATCH)]
        lengths = np.diff(tokens.starts)
        return [tokens.fill(some, int(lengths[some].max()))[0] for some in rows]

    return run


def peer(tokenizer: tokenizers.Tokenizer) -> Side:
    """`encode_batch_fast` with the library's own padding, then NumPy."""

    def run(texts: list[str]) -> list[NDArray[np.int64]]:
        out = []
        for i in range(0, len(texts), BATCH):
            rows = tokenizer.encode_batch_fast(texts[i : i + BATCH])
            out.append(np.array([row.ids for row in rows], dtype=np.int64))
            np.array([row.attention_mask for row in rows], dtype=np.int64)
        return out

    return run


def race(sides: dict[str, Side], texts: list[str]) -> dict[str, float]:
    """Seconds of each side, median of the runs; asserts that their ids are equal."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(RUNS):
        answers = []
        for name, side in sides.items():
            begun = time.perf_counter()
            answers.append(side(texts))
            seconds[name].append(time.perf_counter() - begun)
        for one, other in zip(*answers, strict=True):
            assert np.array_equal(one, other), "ids differ"
    return {name: statistics.median(times) for name, times in seconds.items()}


def report_padding(tokenizer: Tokenizer, work: str, texts: list[str]) -> None:
    """Print the share of cells without an id, packed and unsorted."""
    tokens = tokenizer.encode_batch(texts, max_tokens=MAX_TOKENS)
    lengths = np.diff(tokens.starts)
    cells = sum(len(rows) * width for rows, width in pack(lengths, 16_384, MAX_TOKENS))
    blocks = [lengths[i : i + BATCH] for i in range(0, len(lengths), BATCH)]
    loose = sum(len(block) * int(block.max()) for block in blocks)
    share = [100 * (1 - len(tokens.ids) / total) for total in (cells, loose)]
    print(f"{work}: padding {share[0]:.1f} % of the cells packed, {share[1]:.1f} % in order")


def main() -> None:
    """Read the texts, let both sides run, print and store the rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--texts", type=Path, action="append")
    parser.add_argument("--tokenizer", type=Path, default=HOME / "encode/builtin/tokenizer.json")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--most", type=int, default=20_000, help="texts of a file (20000)")
    asked = parser.parse_args()
    scifact = HOME / "demo" / "scifact"
    files = asked.texts or sorted(scifact.glob("*.jsonl.gz"))
    rows = []
    for path in files:
        texts, work = read_lines(path)[: asked.most], f"tokenize {path.name.partition('.')[0]}"
        tokenizer = Tokenizer.load(asked.tokenizer)
        report_padding(tokenizer, work, texts)
        for threads in (1, 2):
            theirs = tokenizers.Tokenizer.from_file(str(asked.tokenizer))
            theirs.enable_truncation(MAX_TOKENS)
            theirs.enable_padding()
            os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
            sides = {"magnetite": ours(tokenizer, threads), "tokenizers": peer(theirs)}
            seconds = race(sides, texts)
            for system, took in seconds.items():
                version = magnetite.__version__ if system == "magnetite" else tokenizers.__version__
                rows.append({
                    "work": work, "system": system, "version": version, "n": len(texts),
                    "dim": None, "threads": threads, "batch": BATCH, "quality": "ids equal",
                    "rate": len(texts) / took, "p50": took, "p99": None, "bytes": None,
                    "seconds_to_build": None, "ratio_to_best_peer": seconds["tokenizers"] / took,
                })  # fmt: skip
                rate, ratio = len(texts) / took, seconds["tokenizers"] / took
                print(f"{work:28} {system:10} threads {threads} {rate:9.0f} texts/s {ratio:5.2f} x")
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
