"""The log of a run: one JSON object a line, easy to plot."""

import json
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


class Log:
    """Appends entries to a file; on a resume it first forgets what lies after the checkpoint."""

    def __init__(self, path: Path | None, *, keep_until: int = 0) -> None:
        self._file = None
        if path is not None:
            kept = [entry for entry in read_log(path) if entry["step"] <= keep_until]
            path.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")
            self._file = path.open("a", encoding="utf-8", buffering=1)

    def write(self, entry: Entry) -> None:
        """Append one entry, on the disk at once."""
        if self._file is not None:
            self._file.write(json.dumps(entry) + "\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def read_log(path: str | Path) -> list[Entry]:
    """Return the entries of a log, an unfinished last line left out; none if there is no file."""
    path = Path(path)
    if not path.exists():
        return []
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return entries


def plot_log(path: str | Path, image: str | Path) -> None:
    """Draw every loss of a log, and the judge's verdicts, over the steps (needs matplotlib)."""
    from matplotlib.figure import Figure

    entries = read_log(path)
    names = sorted({name for entry in entries for name in entry.get("losses", {})})
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    left = figure.subplots()
    for name in names:
        points = [(e["step"], e["losses"][name]) for e in entries if name in e.get("losses", {})]
        left.plot(*zip(*points, strict=True), label=name)
    left.set(xlabel="step", ylabel="loss")
    verdicts = [(entry["step"], entry["judge"]) for entry in entries if "judge" in entry]
    if verdicts:
        right = left.twinx()
        right.plot(*zip(*verdicts, strict=True), "k.--", label="judge")
        right.set(ylabel="judge")
    left.legend()
    figure.savefig(image)
