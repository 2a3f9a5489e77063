"""The whole demo: serve, learn, seal, serve again; then the table and the page."""

import shutil
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from magnetite.demo import story
from magnetite.demo.data import FOLDER, groups, scifact
from magnetite.demo.serve import Served, serve
from magnetite.encode import Encoder
from magnetite.evaluate import Beir, Report, System, read_qrels, score, write_run
from magnetite.evaluate.examples import examples_of, telling

if TYPE_CHECKING:
    from magnetite.evaluate import Example

Say = Callable[[str], None]
MEASURES = ("nDCG@10", "RR@10", "R@100")


def run(out: Path, *, say: Say, threads: int | None = None, learn: bool = True) -> Report | None:
    """Return the report, after writing it, its runs and the trained encoders under `out`.

    Without the extra `eval` there is no report; without `export`, none of what learning adds.
    """
    began = time.perf_counter()
    data = scifact()
    say(
        f"SciFact: {len(data.corpus):,} abstracts and {len(data.queries)} test claims "
        f"(CC BY 4.0, ODC-By 1.0)\n\n{story.UNTRAINED}"
    )
    served = {story.UNTRAINED: _step(Encoder.load(threads=threads), data, say, threads)}
    facts: dict[str, str] = {}
    learnable = _has("torch", "transformers", "onnx")
    if learn and learnable:
        facts |= _learn(served, data, out, say, threads)
    report = None
    if _has("ir_measures", "pytrec_eval", "matplotlib"):
        facts["whole demo"] = f"{time.perf_counter() - began:.0f} s"
        report = _report(data, served, facts)
        _write(report, served, out)
        _tell(report, out, say)
    else:
        runs = {name: step.run for name, step in served.items()}
        say("")
        _show(examples_of(data, runs, dict.fromkeys(list(data.queries)[:3], "")), say)
        say('\nFor figures: pip install "magnetite[eval]"')
    if learn and not learnable:
        say('\nTo train it on these abstracts: pip install "magnetite[export,eval]"')
    return report


def _learn(
    served: dict[str, Served], data: Beir, out: Path, say: Say, threads: int | None
) -> dict[str, str]:
    """Train step by step, serve what each gave, and return what each cost."""
    from magnetite.demo.learning import steps

    costs = {}
    for name, place, train in steps(threads=threads):
        say(f"\n{name}")
        folder = _fresh(out / "encoders" / place)
        start = time.perf_counter()
        train(folder)
        costs[f"training, {name}"] = f"{time.perf_counter() - start:.0f} s, sealing included"
        say(f"  train  {costs[f'training, {name}']}; {folder}")
        served[name] = _step(Encoder.load(folder, threads=threads), data, say, threads)
    return costs


def _step(encoder: Encoder, data: Beir, say: Say, threads: int | None) -> Served:
    served = serve(encoder, data, threads=threads)
    for line in served.lines():
        say(f"  {line}")
    return served


def _report(data: Beir, served: dict[str, Served], facts: dict[str, str]) -> Report:
    training = read_qrels(FOLDER / "qrels" / "train.tsv")
    parts = groups(data.qrels, training)
    systems = [System(name, score(data.qrels, step.run, MEASURES)) for name, step in served.items()]
    _everyone, unseen, _seen = parts
    runs = {name: served[name].run for name in (systems[0].name, systems[-1].name)}
    report = Report(
        title="Magnetite on SciFact",
        subtitle=f"{len(data.queries)} claims of scientists, answered from {len(data.corpus):,} "
        "abstracts",
        systems=systems,
        groups=parts,
        measures=MEASURES,
        facts={name: step.summary() for name, step in served.items()}
        | facts
        | {"queries shown": "about unseen abstracts; the three helped most, the one hurt most"},
        examples=examples_of(data, runs, telling(systems, MEASURES[0], parts[unseen])),
    )
    return replace(report, remarks=list(story.remarks(report)))


def _write(report: Report, served: dict[str, Served], out: Path) -> None:
    from magnetite.evaluate.html import write_html

    write_html(out / "report.html", report)
    for number, step in enumerate(served.values()):
        write_run(out / f"{number}.trec", step.run)


def _tell(report: Report, out: Path, say: Say) -> None:
    say(f"\n{report.table()}\n")
    for remark in report.remarks:
        say(textwrap.fill(remark, 96) + "\n")
    _show(report.examples, say)
    say(f"\n{out / 'report.html'}: the same with plots")
    if len(report.systems) > 1:
        say(f"{out / 'encoders'}: what was trained; give one of its folders to --model")


def _show(examples: Sequence["Example"], say: Say) -> None:
    for example in examples:
        say(f"“{example.query}”{example.note and f'  ({example.note})'}")
        for system, hits in example.hits.items():
            say(f"  {system}")
            for hit in hits:
                mark = "✓" if hit.relevant else " "
                say(f"  {mark} {hit.rank:>2}  {hit.score:.3f}  {hit.title}")


def _fresh(folder: Path) -> Path:
    """Return the folder, without the artifact that an earlier demo left there."""
    if (folder / "artifact.json").exists():
        shutil.rmtree(folder)
    return folder


def _has(*modules: str) -> bool:
    for module in modules:
        try:
            if find_spec(module) is None:
                return False
        except ValueError:  # None in sys.modules: made unimportable
            return False
    return True
