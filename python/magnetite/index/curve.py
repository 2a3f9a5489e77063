"""What recall costs in one index."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """What one effort reaches, on average over the queries that it was measured on."""

    recall: float
    sure: float  # what recall is at least for queries like these, with 95 % confidence
    codes: int  # compared with a query
    rows: int  # scored exactly
    probes: int
    rescore: int
    slack: float | None


@dataclass(frozen=True)
class Curve:
    """Recall and its cost, in codes and rows: what `target_recall` looks up."""

    k: int  # results of a search; it holds for fewer too
    queries: int  # that it was measured on
    stand_in: bool  # these were stored vectors, for want of queries
    rows: int  # of the index then
    changed: int  # rows that came or went since
    points: tuple[Point, ...]  # by growing `sure`

    @classmethod
    def of(
        cls,
        k: int,
        queries: int,
        stand_in: bool,  # noqa: FBT001 - a tuple of the engine
        rows: int,
        changed: int,
        points: list[tuple[float, float, int, int, int, int, float | None]],
    ) -> "Curve":
        """Return what the engine says."""
        return cls(k, queries, stand_in, rows, changed, tuple(Point(*point) for point in points))

    def __str__(self) -> str:
        kind = "stored vectors, for want of queries" if self.stand_in else "queries"
        lines = [
            f"recall@{self.k}, measured on {self.queries:,} {kind}; {self.rows:,} rows then, "
            f"{self.changed:,} changed since",
            "  recall    sure    codes   rows  probes  rescore  slack",
        ]
        for point in self.points:
            slack = "-" if point.slack is None else f"{point.slack:.4f}"
            lines.append(
                f"{point.recall:8.4f} {point.sure:7.4f} {point.codes:8,} {point.rows:6,} "
                f"{point.probes:7,} {point.rescore:8,} {slack:>6}"
            )
        return "\n".join(lines)
