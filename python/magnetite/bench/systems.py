"""Our indexes as the bench sees an index, and what it asks of any."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Protocol

from magnetite.bench.curve import Setting
from magnetite.bench.data import Floats, Found
from magnetite.index import Index

_NEVER = -1  # slack that ends no search early

Way = Literal["exact", "lists", "graph"]  # how a system finds; lists are held against lists


class System(Protocol):
    """A way to build an index and to search it. The index itself is whatever it likes."""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def way(self) -> Way:
        """How it finds."""

    @property
    def ours(self) -> bool:
        """Whether it is what the others are compared with."""

    def version(self) -> str:
        """Return the library's version."""

    def build(self, vectors: Floats, threads: int) -> Any:
        """Return an index of unit rows, for the dot product."""

    def write(self, index: Any, path: Path) -> int:
        """Write the index below `path` and return its bytes, the vectors it needs among them."""

    def read(self, path: Path, vectors: Floats) -> Any:
        """Return what `write` wrote."""

    def settings(self, index: Any) -> Sequence[Setting]:
        """Return the settings to try, of growing effort where there is an order."""

    def say(self, setting: Setting) -> str:
        """Return a setting as a table shows it."""

    def search(self, index: Any, queries: Floats, k: int, setting: Setting, threads: int) -> Found:
        """Return the ids of the `k` best for each query."""


@dataclass(frozen=True)
class Ours:
    """An index of this package."""

    name: str
    way: Way
    options: tuple[tuple[str, Any], ...] = ()  # of `Index.build`
    thorough: bool = True  # try many settings
    ours: bool = True

    def version(self) -> str:
        """Return this package's version."""
        return metadata.version("magnetite")

    def build(self, vectors: Floats, threads: int) -> Index:
        """Build."""
        return Index.build(vectors, threads=threads, **dict(self.options))

    def write(self, index: Index, path: Path) -> int:
        """Save, and add up the files."""
        index.save(path)
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())

    def read(self, path: Path, vectors: Floats) -> Index:  # noqa: ARG002 - it holds its own
        """Open, mapped."""
        return Index.open(path)

    def settings(self, index: Index) -> Sequence[Setting]:
        """Probes, rows to score exactly and slack in thousandths; nothing for a flat index."""
        if index.lists is None:
            return [()]
        rescore = (40, 60, 100, 200, 300) if self.thorough else (60, 100, 200)
        fixed = (5, 7, 10, 14, 20, 28, 40, 55, 75, 100, 140, 200, 350, 600)  # lists of a thousand
        slacks = (0, 10, 20, 30, 40, 60, 80, 110, 150, 200, 280)
        most = (80, 300, 700)
        settings = {(part, rows, _NEVER) for part in fixed for rows in rescore}
        settings |= {(part, rows, slack) for part in most for rows in rescore for slack in slacks}
        probes = {part: max(1, round(part * index.lists / 1000)) for part, _, _ in settings}
        return sorted({(probes[part], rows, slack) for part, rows, slack in settings})

    def say(self, setting: Setting) -> str:
        """Name the knobs."""
        if not setting:
            return ""
        probes, rescore, slack = setting
        early = "" if slack == _NEVER else f" slack={slack / 1000:g}"
        return f"probes={probes} rescore={rescore}{early}"

    def search(
        self, index: Index, queries: Floats, k: int, setting: Setting, threads: int
    ) -> Found:
        """Search."""
        probes, rescore, slack = setting or (None, None, _NEVER)
        early = None if slack == _NEVER else slack / 1000
        hits = index.search(
            queries, k, probes=probes, rescore=rescore, slack=early, threads=threads
        )
        ids: Found = hits.ids
        return ids
