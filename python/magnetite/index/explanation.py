"""What a search did."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Looked:
    """What one search did in one segment."""

    rows: int  # of the segment, deleted ones included
    lists: int | None  # that they are in, if any
    probed: list[int]  # lists looked into, in that order
    codes: int  # compared with the query
    filtered: int  # of these, rows that may not be found: by a filter, or because they are deleted
    scored: int  # rows scored exactly

    def __str__(self) -> str:
        if self.lists is None:
            return f"{self.rows:,} rows without lists: {self.scored:,} scored exactly"
        if not self.codes:
            return f"{self.rows:,} rows: few may be found, {self.scored:,} scored exactly"
        some = ", ".join(map(str, self.probed[:8])) + (", ..." if len(self.probed) > 8 else "")
        return (
            f"{self.rows:,} rows: {len(self.probed):,} of {self.lists:,} lists ({some}), "
            f"{self.codes:,} codes, {self.filtered:,} of them of rows that may not be found, "
            f"{self.scored:,} rows scored exactly"
        )


@dataclass(frozen=True)
class Explanation:
    """What one search did: how far it was to go, and how far it went in each segment."""

    probes: int | None
    rescore: int | None
    slack: float | None
    segments: tuple[Looked, ...]  # oldest first

    def __str__(self) -> str:
        wanted = ", ".join(
            f"{name}={value}"
            for name, value in (
                ("probes", self.probes),
                ("rescore", self.rescore),
                ("slack", self.slack),
            )
            if value is not None
        )
        lines = [f"effort: {wanted or 'the index decides'}"]
        lines += [f"segment {number}: {looked}" for number, looked in enumerate(self.segments)]
        return "\n".join(lines)
