"""A report: systems in the order they were built, each compared with the one before it."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from magnetite.evaluate.bootstrap import Difference, paired_bootstrap
from magnetite.evaluate.metrics import Scores, mean


@dataclass(frozen=True)
class System:
    """One system's values on the judged queries."""

    name: str
    scores: Scores


@dataclass(frozen=True)
class Shown:
    """One hit, as a reader sees it."""

    rank: int
    title: str
    score: float
    relevant: bool


@dataclass(frozen=True)
class Example:
    """One query and the best hits of some systems."""

    query: str
    hits: dict[str, list[Shown]]
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One system on one group of queries; `change` is against the system before it."""

    group: str
    system: str
    values: dict[str, float]
    change: Difference | None


@dataclass(frozen=True)
class Report:
    """What was measured, on whom, and what it means; the first measure is the one compared."""

    title: str
    subtitle: str
    systems: Sequence[System]
    groups: dict[str, list[str]]
    measures: Sequence[str]
    remarks: Sequence[str] = ()
    facts: dict[str, str] = field(default_factory=dict)
    examples: Sequence[Example] = ()

    @property
    def measure(self) -> str:
        """The measure that differences and plots are about."""
        return self.measures[0]

    def rows(self) -> Iterator[Row]:
        """Yield each system of each group that holds a query."""
        for group, queries in self.groups.items():
            if not queries:
                continue
            before: System | None = None
            for system in self.systems:
                values = {name: mean(system.scores[name], queries) for name in self.measures}
                change = None if before is None else self.change(before, system, queries)
                yield Row(group, system.name, values, change)
                before = system

    def change(self, before: System, after: System, queries: Sequence[str]) -> Difference:
        """Return the difference of the compared measure over `queries`."""
        one, other = before.scores[self.measure], after.scores[self.measure]
        return paired_bootstrap([one[q] for q in queries], [other[q] for q in queries])

    def table(self) -> str:
        """Return the rows for a terminal."""
        rows = list(self.rows())
        compared = any(row.change for row in rows)
        width = max(len(system.name) for system in self.systems) + 2
        first, *others = self.measures
        head = f"{'':{width}} {first:>9}"
        head += f"  {'change [95 % interval]':<24} {'p':>7}" if compared else ""
        head += "".join(f" {name:>9}" for name in others)
        lines, group = [head], None
        for row in rows:
            if row.group != group:
                group = row.group
                lines.append(f"{group} ({len(self.groups[group]):,} queries)")
            said = f"  {row.system:<{width - 2}} {row.values[first]:>9.4f}"
            if compared:
                p = "" if row.change is None else show_p(row.change.p)
                said += f"  {'' if row.change is None else str(row.change):<24} {p:>7}"
            lines.append(said + "".join(f" {row.values[name]:>9.4f}" for name in others))
        return "\n".join(line.rstrip() for line in lines)

    def as_json(self) -> dict[str, Any]:
        """Return everything but the per-query values, for `--json`."""
        return {
            "title": self.title,
            "measures": list(self.measures),
            "rows": [asdict(row) | {"queries": len(self.groups[row.group])} for row in self.rows()],
            "facts": self.facts,
        }


def show_p(p: float) -> str:
    """Return p in four digits."""
    return "<0.0005" if p < 0.0005 else f"{p:.3f}"
