"""How long do k-means and product quantizers take, and in what memory, beside FAISS?

    python benches/python/quantize.py [--vectors FILE.npy] [--threads 1] [--rounds 3] [--json FILE]

Both sides get the same float32 rows in a process of their own, in turns; each figure is the median.
Seconds are of the processor, so that other work counts little. Ours is asked for as many moves as
bring k-means to the objective of FAISS after its 20; the printed ratio of errors says whether they
did. Memory is the peak above what the process held once the rows were read. Needs `cargo`.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np

from magnetite.bench.data import normalized
from magnetite.extras import need

ROOT = Path(__file__).parents[2]
PROSE = ROOT.parent / "shared" / "data" / "prose"
TEST = "costs::print_costs"
PASSES = 5


@dataclass(frozen=True)
class Work:
    """What is trained: a quantizer of some parts, or with none k-means."""

    name: str
    parts: int = 0
    bits: int = 0
    clusters: int = 0
    moves: int = 0


WORKS = (
    Work("k-means, 1,024 clusters", clusters=1_024, moves=24),
    Work("PQ96x4", parts=96, bits=4),
    Work("PQ192x4", parts=192, bits=4),
    Work("PQ96x8", parts=96, bits=8),
)


@dataclass(frozen=True)
class Cost:
    """What one side took."""

    train_s: float
    train_wall_s: float
    encode_s: float
    encode_wall_s: float
    error: float  # sum of squared distances
    peak_bytes: int


def ours(work: Work, rows: Path, dim: int, threads: int) -> Cost:
    """Run our side, a test that measures instead."""
    asked = {"rows": rows, "dim": dim, "threads": threads, **asdict(work)}
    names = {f"MAGNETITE_COSTS_{name.upper()}": str(value) for name, value in asked.items()}
    command = ["cargo", "test", "--release", "--locked", "--quiet", "-p", "magnetite-core", "--"]
    command += ["--ignored", "--exact", TEST, "--nocapture"]
    return _cost(command, os.environ | names)


def theirs(work: Work, rows: Path, dim: int, threads: int) -> Cost:
    """Run FAISS in a process of its own."""
    asked = json.dumps({"rows": str(rows), "dim": dim, "threads": threads, "work": asdict(work)})
    return _cost([sys.executable, __file__, "--side", asked], dict(os.environ))


def _cost(command: list[str], environment: dict[str, str]) -> Cost:
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
    line = next(line for line in lines if "costs {" in line)
    return Cost(**json.loads(line[line.index("{") :]))


def measure_peer(work: Work, rows: str, dim: int, threads: int) -> None:
    """Train and encode with FAISS, and print the costs."""
    faiss = need("faiss", extra="bench", purpose="a comparison")
    faiss.omp_set_num_threads(threads)
    vectors = np.fromfile(rows, dtype=np.float32).reshape(-1, dim)
    Path("/proc/self/clear_refs").write_text("5")  # forgets how high memory stood before
    before = _status("VmRSS:")
    start, wall = time.process_time(), time.perf_counter()
    encode_s = encode_wall_s = 0.0
    if work.parts:
        quantizer = faiss.ProductQuantizer(dim, work.parts, work.bits)
        quantizer.train(vectors)
    else:
        means = faiss.Kmeans(dim, work.clusters, niter=20, max_points_per_centroid=1_000)
        means.train(vectors)
    train_s, train_wall_s = time.process_time() - start, time.perf_counter() - wall
    peak = _status("VmHWM:") - before
    if work.parts:
        start, wall = time.process_time(), time.perf_counter()
        for _ in range(PASSES):
            codes = quantizer.compute_codes(vectors)
        encode_s = (time.process_time() - start) / PASSES
        encode_wall_s = (time.perf_counter() - wall) / PASSES
        error = float(((quantizer.decode(codes) - vectors) ** 2).sum(dtype=np.float64))
    else:
        error = float(means.index.search(vectors, 1)[0].sum(dtype=np.float64))
    cost = Cost(train_s, train_wall_s, encode_s, encode_wall_s, error, peak)
    print("costs", json.dumps(asdict(cost)))


def _status(name: str) -> int:
    """Return a line of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


def middle(costs: list[Cost]) -> Cost:
    """Return the median of each figure."""
    rounds = [asdict(cost) for cost in costs]
    return Cost(**{name: statistics.median(one[name] for one in rounds) for name in rounds[0]})


def say(work: Work, our: Cost, their: Cost, n: int) -> str:
    """Return what one comparison found, in a few lines."""
    lines = [
        f"{work.name}: error {our.error:,.1f}, FAISS {their.error:,.1f}: "
        f"{our.error / their.error:.4f} of it",
        f"  training {our.train_s:.2f} s, FAISS {their.train_s:.2f}: "
        f"{their.train_s / our.train_s:.2f} x as fast, "
        f"in {our.peak_bytes / 1e6:,.0f} MB, FAISS {their.peak_bytes / 1e6:,.0f}",
    ]
    if work.parts:
        lines.append(
            f"  encoding {n / our.encode_s:,.0f} rows/s, FAISS {n / their.encode_s:,.0f}: "
            f"{their.encode_s / our.encode_s:.2f} x as fast"
        )
    return "\n".join(lines)


@click.command()
@click.option("--vectors", type=click.Path(path_type=Path), default=PROSE / "base.f16.npy")
@click.option("--threads", default=1, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--only", default="", help="Works whose names hold this.")
@click.option("--json", "json_out", type=click.Path(path_type=Path))
@click.option("--side", hidden=True)
def main(
    vectors: Path, threads: int, rounds: int, only: str, json_out: Path | None, side: str | None
) -> None:
    """Measure both sides in turns."""
    if side is not None:
        asked = json.loads(side)
        measure_peer(**asked | {"work": Work(**asked["work"])})
        return
    rows = normalized(np.load(vectors, mmap_mode="r"))
    found = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.f32"
        rows.tofile(path)
        n, dim = rows.shape
        del rows
        for work in WORKS:
            if only not in work.name:
                continue
            sides: tuple[list[Cost], list[Cost]] = ([], [])
            for _ in range(rounds):
                sides[0].append(ours(work, path, dim, threads))
                sides[1].append(theirs(work, path, dim, threads))
            our, their = middle(sides[0]), middle(sides[1])
            print(say(work, our, their, n), flush=True)
            for system, cost in (("magnetite", our), ("faiss", their)):
                about = {"work": work.name, "system": system, "threads": threads, "n": n}
                found.append(json.dumps(about | asdict(cost)))
    if json_out:
        json_out.write_text("\n".join(found) + "\n")


if __name__ == "__main__":
    main()
