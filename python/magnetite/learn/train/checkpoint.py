"""Everything a run needs to go on as if nothing had happened, written whole or not at all."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

FORMAT = 1


@dataclass
class Place:
    """Where a run is.

    Attributes:
        step: Optimizer steps done.
        phase: Number of the phase, as the method counts.
        visit: How often the phase was begun before, by a run that has steps left.
        done: Steps done in this visit.
        best: Highest verdict so far.
        best_step: After which step it was given.
    """

    step: int = 0
    phase: int = 0
    visit: int = 0
    done: int = 0
    best: float | None = None
    best_step: int | None = None


class Checkpoints:
    """The files of a run in its folder; without a folder, a run is not kept.

    `checkpoint.pt` is the run, `derived-K.pt` what phase K derived from the model, `best.pt` the
    weights the judge liked best.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def save(self, name: str, state: dict[str, Any]) -> None:
        """Replace a file at once: after a crash there is the old one or the new one."""
        if self.folder is None:
            return
        path, unfinished = self.folder / name, self.folder / f"{name}.unfinished"
        with unfinished.open("wb") as file:
            torch.save({"format": FORMAT, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)

    def clear(self) -> None:
        """Remove what an earlier run, whose checkpoint is gone, has left behind."""
        if self.folder is not None:
            for path in (*self.folder.glob("best.pt"), *self.folder.glob("derived-*.pt")):
                path.unlink()

    def load(self, name: str) -> dict[str, Any] | None:
        """Return what was saved under this name, on the CPU, or None."""
        if self.folder is None or not (self.folder / name).exists():
            return None
        path = self.folder / name
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as reason:
            raise ValueError(
                f"{path} is not a readable checkpoint ({reason}); delete it to start anew"
            ) from reason
        if state.get("format") != FORMAT:
            raise ValueError(
                f"{path} has format {state.get('format')}, this version reads {FORMAT}; "
                "resume with the version that wrote it"
            )
        return state


def refuse_changes(saved: dict[str, str], now: dict[str, str]) -> None:
    """Raise ValueError naming every setting that differs from those of the saved run."""
    changed = [
        f"{name} was {saved.get(name)}, is {now.get(name)}"
        for name in sorted(saved.keys() | now.keys())
        if saved.get(name) != now.get(name)
    ]
    if changed:
        raise ValueError(
            "a resumed run must have the settings it began with: " + "; ".join(changed)
        )
