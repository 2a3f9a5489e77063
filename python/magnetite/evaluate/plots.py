"""Plots of a report as SVG text; colours are CSS variables, so they follow the page's theme."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from magnetite.evaluate.report import Report
from magnetite.extras import need

# Matplotlib writes these colours; the page reads the variables.
_INK, _SOFT, _LINE = "#101010", "#202020", "#303030"
_SERIES = ("#404040", "#505050", "#606060", "#707070", "#808080", "#909090")
_VARIABLES = {_INK: "var(--ink)", _SOFT: "var(--soft)", _LINE: "var(--line)"} | {
    colour: f"var(--series-{number})" for number, colour in enumerate(_SERIES)
}


def means_and_changes(report: Report) -> str:
    """Return each group's means (left) and each step's change with its interval (right)."""
    rows = list(report.rows())
    groups = list(dict.fromkeys(row.group for row in rows))
    changed = [row for row in rows if row.change is not None]
    figure, axes = _canvas(2 if changed else 1, height=0.9 + 0.34 * len(rows))
    place = _places(report, groups)
    names = [system.name for system in report.systems]
    for row in rows:
        colour = _SERIES[names.index(row.system) % len(_SERIES)]
        y, value = place[row.group, row.system], row.values[report.measure]
        axes[0].plot([0, value], [y, y], color=colour, linewidth=7, solid_capstyle="butt")
        axes[0].annotate(
            f"{value:.3f}",
            (value, y),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=_INK,
            fontsize=9,
        )
    axes[0].set_yticks(list(place.values()), [system for _, system in place])
    highest = max(row.values[report.measure] for row in rows)
    axes[0].set_xlim(0, max(highest, 1e-9) * 1.18)
    axes[0].set_title(report.measure, loc="left", color=_INK, fontsize=10.5)
    for group in groups:
        y = min(y for (other, _), y in place.items() if other == group) - 0.72
        axes[0].annotate(group, (0, y), color=_SOFT, fontsize=9, va="center", annotation_clip=False)
    if changed:
        axes[1].axvline(0, color=_SOFT, linewidth=1)
        for row in changed:
            change = row.change
            assert change is not None
            colour = _SERIES[names.index(row.system) % len(_SERIES)]
            y = place[row.group, row.system]
            axes[1].plot([change.low, change.high], [y, y], color=colour, linewidth=2)
            axes[1].plot([change.mean], [y], "o", color=colour, markersize=6)
        axes[1].set_yticks([])
        title = "change from the row above, 95 % interval"
        axes[1].set_title(title, loc="left", color=_INK, fontsize=10.5)
    for axis in axes:
        axis.set_ylim(max(place.values()) + 0.6, -1.15)
    return _svg(figure, "Means of each system and changes between them")


def query_changes(report: Report, queries: Mapping[str, Sequence[str]]) -> str:
    """Return every query's change from the first system to the last, sorted, group by group."""
    first, last = report.systems[0], report.systems[-1]
    figure, axes = _canvas(len(queries), height=2.5, share_y=True)
    for number, (axis, (group, members)) in enumerate(zip(axes, queries.items(), strict=True)):
        before, after = first.scores[report.measure], last.scores[report.measure]
        values = sorted((after[q] - before[q] for q in members), reverse=True)
        axis.stairs(values, fill=True, color=_SERIES[-1 - number], linewidth=0)
        axis.axhline(0, color=_SOFT, linewidth=0.8)
        better, worse = sum(v > 1e-9 for v in values), sum(v < -1e-9 for v in values)
        said = f"{group}\n{better} better, {worse} worse, {len(values) - better - worse} equal"
        axis.set_title(said, loc="left", color=_INK, fontsize=10.5)
        axis.set_xticks([])
        axis.set_ylim(-1.05, 1.05)
    return _svg(figure, "Every query's change")


def _places(report: Report, groups: list[str]) -> dict[tuple[str, str], float]:
    step = len(report.systems) + 0.9
    return {
        (group, system.name): row * step + line
        for row, group in enumerate(groups)
        for line, system in enumerate(report.systems)
    }


def _canvas(columns: int, *, height: float, share_y: bool = False) -> tuple[Any, list[Any]]:
    matplotlib = need("matplotlib", extra="eval", purpose="a plot")
    matplotlib.use("svg")
    figures = need("matplotlib.figure", extra="eval", purpose="a plot")
    figure = figures.Figure(figsize=(9.6, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, sharey=share_y)[0]
    for axis in axes:
        axis.set_facecolor("none")
        axis.tick_params(colors=_SOFT, labelcolor=_INK, labelsize=9, length=0)
        axis.grid(axis="both" if share_y else "x", color=_LINE, linewidth=0.6)
        axis.set_axisbelow(True)
        for side in axis.spines.values():
            side.set_visible(False)
    return figure, list(axes)


def _svg(figure: Any, label: str) -> str:  # noqa: ANN401 - matplotlib is untyped here
    matplotlib = need("matplotlib", extra="eval", purpose="a plot")
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "magnetite"}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
