"""What do titles without labels, and then training claims, add to the built-in encoder on SciFact?

The demo's training under several seeds: nDCG@10 of all 300 test claims, of the 104 whose abstracts
no training claim points to, and of the 196 others; mean and spread over the seeds.
"""

import json
import statistics
import tempfile
from pathlib import Path

import click

from magnetite import Encoder
from magnetite._core import resolve_threads
from magnetite.demo.data import FOLDER, groups, scifact
from magnetite.demo.learning import steps
from magnetite.demo.serve import serve
from magnetite.demo.story import UNTRAINED
from magnetite.evaluate import mean, read_qrels, score

MEASURE = "nDCG@10"
Row = dict[str, float]


def judged(encoder: Encoder, threads: int) -> Row:
    """Return the measure of each group of test claims."""
    data = scifact()
    values = score(data.qrels, serve(encoder, data, threads=threads).run, [MEASURE])[MEASURE]
    parts = groups(data.qrels, read_qrels(FOLDER / "qrels" / "train.tsv"))
    return {part: mean({q: values[q] for q in queries}) for part, queries in parts.items()}


@click.command()
@click.option("--seeds", type=int, default=3, show_default=True)
@click.option("--threads", type=int)
@click.option("--json", "report", type=click.Path(path_type=Path), help="One row a seed and step.")
def main(seeds: int, threads: int | None, report: Path | None) -> None:
    """Train as the demo does, once for each seed, and print what it adds."""
    count = resolve_threads(threads)
    found: dict[str, list[Row]] = {UNTRAINED: [judged(Encoder.load(threads=count), count)]}
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(seeds):
            for name, place, train in steps(threads=count, seed=seed):
                folder = Path(scratch) / f"{place}-{seed}"
                train(folder)
                rows = found.setdefault(name, [])
                rows.append(judged(Encoder.load(folder, threads=count), count))
    for name, rows in found.items():
        print(name)
        for part in rows[0]:
            values = [row[part] for row in rows]
            each = ", ".join(f"{value:.4f}" for value in values)
            print(f"  {part:<36} {statistics.mean(values):.4f}   ({each})")
    if report:
        lines = [
            {"work": part, "system": name, "seed": seed, "quality": value, "measure": MEASURE}
            for name, rows in found.items()
            for seed, row in enumerate(rows)
            for part, value in row.items()
        ]
        report.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
