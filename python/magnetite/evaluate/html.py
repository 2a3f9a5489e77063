"""A report as one HTML page that needs nothing else: no script, no font, no address is loaded."""

from html import escape
from importlib import resources
from pathlib import Path

from magnetite.evaluate.plots import means_and_changes, query_changes
from magnetite.evaluate.report import Example, Report, Row, show_p


def write_html(path: str | Path, report: Report) -> None:
    """Write the page of `report`, and the folder that holds it.

    Raises:
        MissingExtraError: The extra `eval` is not installed.
    """
    page = html(report)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(page, encoding="utf-8")


def html(report: Report) -> str:
    """Return the page of `report`.

    Raises:
        MissingExtraError: The extra `eval` is not installed.
    """
    style = resources.files("magnetite.evaluate").joinpath("report.css").read_text("utf-8")
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(report.title)}</title>",
        f"<style>{style}</style></head><body><main>",
        f"<header><h1>{escape(report.title)}</h1><p>{escape(report.subtitle)}</p></header>",
        _table(report),
        f"<figure>{means_and_changes(report)}</figure>",
        *(f"<p>{escape(remark)}</p>" for remark in report.remarks),
        *_queries(report),
        *_examples(report),
        *_facts(report),
        "</main></body></html>\n",
    ]
    return "\n".join(parts)


def _table(report: Report) -> str:
    rows = list(report.rows())
    compared = any(row.change for row in rows)
    first, *others = report.measures
    heads = [first, *(["change", "95 % interval", "p"] if compared else []), *others]
    said = [
        "<table><thead><tr><th></th>",
        *(f"<th>{escape(head)}</th>" for head in heads),
        "</tr></thead>",
    ]
    group = None
    for row in rows:
        if row.group != group:
            said.append("</tbody>" if group else "")
            group = row.group
            said.append(
                f'<tbody><tr class="group"><th colspan="{len(heads) + 1}">{escape(group)} '
                f"<small>{len(report.groups[group]):,} queries</small></th></tr>"
            )
        said.append(_row(row, first, others, compared=compared))
    return "".join([*said, "</tbody></table>"])


def _row(row: Row, first: str, others: list[str], *, compared: bool) -> str:
    cells = [f"<th>{escape(row.system)}</th><td><b>{row.values[first]:.4f}</b></td>"]
    if compared and row.change is None:
        cells.append("<td></td><td></td><td></td>")
    elif row.change is not None:
        change = row.change
        kind = {1: "up", -1: "down", 0: "unsure"}[change.sign]
        cells.append(
            f'<td class="{kind}">{change.mean:+.4f}</td>'
            f"<td>{change.low:+.4f} … {change.high:+.4f}</td><td>{escape(show_p(change.p))}</td>"
        )
    cells += [f"<td>{row.values[name]:.4f}</td>" for name in others]
    return f"<tr>{''.join(cells)}</tr>"


def _queries(report: Report) -> list[str]:
    if len(report.systems) < 2:
        return []
    first, last = report.systems[0].name, report.systems[-1].name
    parts = dict(list(report.groups.items())[1:]) or report.groups
    groups = {group: queries for group, queries in parts.items() if queries}
    heading = f"{report.measure} of every query: from {first} to {last}"
    return [f"<h2>{escape(heading)}</h2>", f"<figure>{query_changes(report, groups)}</figure>"]


def _examples(report: Report) -> list[str]:
    if not report.examples:
        return []
    return ["<h2>A few queries and their hits</h2>", *map(_example, report.examples)]


def _example(example: Example) -> str:
    note = f" <small>{escape(example.note)}</small>" if example.note else ""
    columns = []
    for system, hits in example.hits.items():
        items = "".join(
            f'<li class="{"relevant" if hit.relevant else "other"}" value="{hit.rank}">'
            f"{escape(hit.title)} "
            f"<small>{hit.score:.3f}</small></li>"
            for hit in hits
        )
        columns.append(f"<div><h4>{escape(system)}</h4><ol>{items}</ol></div>")
    heading, lists = escape(example.query) + note, "".join(columns)
    return f'<section><h3>{heading}</h3><div class="hits">{lists}</div></section>'


def _facts(report: Report) -> list[str]:
    if not report.facts:
        return []
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in report.facts.items()
    )
    return [f"<h2>How it was measured</h2><dl>{rows}</dl>"]
