"""What replayed searches reached, as tables in Markdown and as curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magnetite.bench.cur import ENCODER, OURS
from magnetite.extras import need

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from magnetite.bench.cur import Judge, Report, Row

_COLOURS = {
    OURS: "#c1272d",
    ENCODER: "#0072b2",
    "random": "#7f7f7f",
    "BM25 + re-rank": "#e69f00",
    "ANNCUR": "#56b4e9",
    "ADACUR": "#009e73",
    "AXN": "#cc79a7",
}


def judge_lines(judge: Judge) -> list[str]:
    """Return what stands beside a table: the judge's worth and its spectrum."""
    energy = ", ".join(f"{part:.0%} in rank {rank}" for rank, part in judge.energy.items())
    return [
        f"{judge.block}: {judge.queries:,} test queries, {judge.items:,} items, "
        f"{judge.anchors:,} anchor queries",
        f"judge over all items, all queries: accuracy {judge.judge_accuracy:.3f} (encoder "
        f"{judge.encoder_accuracy:.3f}, {judge.accuracy}), nDCG@10 {judge.judge_ndcg:.3f} "
        f"(encoder {judge.encoder_ndcg:.3f}, {judge.ndcg})",
        f"rank correlation with the encoder {judge.spearman:.2f}; "
        f"energy of the scores less items' and queries' means: {energy}",
    ]


def table(report: Report) -> str:
    """Return a table of systems by budget and measure; `*` differs from encoder + re-rank."""
    lines = [*judge_lines(report.judge), ""]
    measures = sorted(dict.fromkeys(row.measure for row in report.rows), key=_order)
    systems = list(dict.fromkeys(row.system for row in report.rows))
    found = {(row.budget, row.system, row.measure): row for row in report.rows}
    lines.append(" | ".join(["| calls", "system", *measures]) + " |")
    lines.append("|---" * (2 + len(measures)) + "|")
    for budget in dict.fromkeys(row.budget for row in report.rows):
        for system in systems:
            cells = [_cell(found.get((budget, system, measure))) for measure in measures]
            lines.append(" | ".join([f"| {budget}", system, *cells]) + " |")
    return "\n".join(lines)


def _order(measure: str) -> tuple[bool, int]:
    """Recall before measures of the task, each by its k."""
    return not measure.startswith("Recall"), int(measure.partition("@")[2] or 0)


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    sign = 0 if row.against_encoder is None else row.against_encoder.sign
    return f"{row.value:.3f}" + {1: " +", 0: "", -1: " −"}[sign]  # noqa: RUF001 - a minus


def plot(reports: Sequence[Report], path: Path) -> None:
    """Draw recall against calls, a row a block, a column a k; the suffix decides the format."""
    matplotlib = need("matplotlib", extra="bench", purpose="a plot")
    figures = need("matplotlib.figure", extra="bench", purpose="a plot")
    every = {row.measure for report in reports for row in report.rows}
    measures = sorted((one for one in every if one.startswith("Recall")), key=_order)
    style = {"svg.fonttype": "none", "svg.hashsalt": "magnetite", "font.size": 9}
    with matplotlib.rc_context(style):
        size = (2.9 * len(measures), 2.6 * len(reports) + 0.5)
        figure = figures.Figure(figsize=size, layout="constrained", facecolor="white")
        grid = figure.subplots(len(reports), len(measures), squeeze=False, sharex="row")
        for axes, report in zip(grid, reports, strict=True):
            for axis, measure in zip(axes, measures, strict=True):
                _draw(axis, report, measure)
            axes[0].set_ylabel(report.judge.block)
        lines, names = grid[0][0].get_legend_handles_labels()
        figure.legend(lines, names, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw(axis, report: Report, measure: str) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    for system, colour in _COLOURS.items():
        rows = [row for row in report.rows if (row.system, row.measure) == (system, measure)]
        ours = system == OURS
        axis.plot(
            [row.budget for row in rows],
            [row.value for row in rows],
            marker="o",
            markersize=4 if ours else 2.5,
            linewidth=2.2 if ours else 1.1,
            color=colour,
            zorder=3 if ours else 2,
            label=system,
        )
    axis.set_xscale("log")
    budgets = sorted({row.budget for row in report.rows})
    axis.set_xticks(budgets, [str(budget) for budget in budgets])
    axis.minorticks_off()
    axis.set_ylim(0, 1.02)
    axis.set_title(measure, loc="left", fontsize=10)
    axis.set_xlabel("calls of the judge")
    axis.grid(which="major", color="#dddddd", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
