"""Recall against queries per second, a curve a system."""

from pathlib import Path

from magnetite.bench.curve import Point
from magnetite.bench.dense import Report
from magnetite.extras import need

_OURS = "#c1272d"
_PEERS = ("#0072b2", "#e69f00", "#009e73", "#56b4e9", "#cc79a7", "#7f7f7f", "#8c564b", "#bcbd22")
_LOWEST = 0.8  # recall where an axis begins at the latest
_TITLES = {"f32": "originals in f32", "int8": "originals in int8"}


def write(report: Report, path: Path) -> None:
    """Write the curves of both classes; the suffix of `path` decides the format."""
    matplotlib = need("matplotlib", extra="bench", purpose="a plot")
    figures = need("matplotlib.figure", extra="bench", purpose="a plot")
    classes = [name for name in report.curves if name != "exact"]
    if not classes:
        raise ValueError("exact search has no curve; measure the class f32 or int8")
    style = {"svg.fonttype": "none", "svg.hashsalt": "magnetite", "font.size": 9}
    with matplotlib.rc_context(style):
        size = (5.2 * len(classes), 4.2)
        figure = figures.Figure(figsize=size, layout="constrained", facecolor="white")
        axes = figure.subplots(1, len(classes), squeeze=False, sharey=True)[0]
        for axis, class_ in zip(axes, classes, strict=True):
            colours = iter(_PEERS * 2)
            for candidate in report.curves[class_]:
                ours = candidate.system.ours
                points = _shown(candidate.points)
                axis.plot(
                    [point.recall for point in points],
                    [point.rate for point in points],
                    marker="o",
                    markersize=4 if ours else 2.5,
                    linewidth=2.2 if ours else 1.1,
                    linestyle="--" if candidate.system.way == "graph" else "-",
                    color=_OURS if ours else next(colours),
                    zorder=3 if ours else 2,
                    label=f"{candidate.system.name}  "
                    f"({candidate.bytes / len(report.data.vectors):.0f} B/vector)",
                )
            axis.set_yscale("log")
            axis.set_title(_TITLES[class_], loc="left", fontsize=10)
            axis.set_xlabel("recall@10")
            axis.grid(which="major", color="#dddddd", linewidth=0.6)
            axis.legend(fontsize=7, frameon=False, loc="lower left")
            axis.spines[["top", "right"]].set_visible(False)
        axes[0].set_ylabel("queries per second of processor time, one thread")
        n, dim = report.data.vectors.shape
        title = f"{report.data.name}: {n:,} x {dim}, {len(report.data.queries):,} queries"
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _shown(points: tuple[Point, ...]) -> list[Point]:
    return [point for point in points if point.recall >= _LOWEST] or list(points)
