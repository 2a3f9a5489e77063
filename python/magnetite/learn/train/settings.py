"""What a run may be told, and what it says of itself at the end."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from magnetite.learn.train.schedule import linear


@dataclass(frozen=True)
class Settings:
    """How to train; what to train is the method's business.

    Give `epochs` or `steps`. With `epochs`, a phase without a length of its own lasts so many
    passes over its examples, and each phase has its own schedule. With `steps`, the run has so
    many in all, under one schedule: a phase without a length of its own lasts one pass, and the
    last one is repeated until the steps are done.
    """

    epochs: int | None = None
    steps: int | None = None
    batch: int = 64  # examples of one optimizer step, over all devices
    chunk: int | None = None  # examples encoded at once on one device; None: all of its share
    lr: float = 2e-5
    warmup: float = 0.0  # share of the steps in which the rate rises from 0
    schedule: Callable[[float], float] = linear  # progress after the warm-up, 0..1 -> factor
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    clip: float | None = 1.0  # largest norm of the whole gradient
    precision: torch.dtype = torch.float32  # of the encoder; losses are at least float32
    seed: int = 0
    device: torch.device | None = None  # None: this process's GPU, else the CPU
    out: Path | None = None  # where checkpoint.pt and log.jsonl go; None: nowhere
    resume: bool = False  # go on from out/checkpoint.pt, if it is there
    save_every: int = 500  # steps; also at the end and when interrupted
    judge_every: int | None = None  # steps; None: each pass; always at the end of a phase
    log_every: int = 1  # steps
    infer_batch: int = 256  # examples encoded at once while a phase looks at them
    progress: bool = True  # a bar on the terminal

    def __post_init__(self) -> None:
        if self.out is not None:
            object.__setattr__(self, "out", Path(self.out))  # a str is welcome too
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(
                f"give either epochs or steps; got epochs={self.epochs}, steps={self.steps}"
            )
        for name in ("epochs", "steps", "batch", "chunk", "save_every", "log_every", "infer_batch"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise ValueError(f"{name} must be at least 1; got {number}")
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"warmup is a share of the steps, 0 to 1; got {self.warmup}")
        if self.precision not in (torch.float32, torch.bfloat16, torch.float16):
            raise ValueError(
                f"precision must be float32, bfloat16 or float16; got {self.precision}"
            )
        if self.resume and self.out is None:
            raise ValueError("resume needs out, the folder of the run to go on with")

    def binding(self) -> dict[str, str]:
        """Return, as text, the settings that must stay for a resumed run to be the same run."""
        free = {"device", "out", "resume", "save_every", "log_every", "infer_batch", "progress"}
        return {
            field.name: _text(getattr(self, field.name))
            for field in fields(self)
            if field.name not in free
        }


def _text(value: object) -> str:
    return str(getattr(value, "__name__", value)) if callable(value) else str(value)


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        steps: Optimizer steps done, those before a resume included.
        seconds: Time of this call.
        losses: The total loss of each step of this call.
        best: Highest verdict of the judge; its weights are the method's now.
        best_step: After which step it was given.
        log: One JSON object a line; `None` without `out`.
    """

    steps: int
    seconds: float
    losses: list[float]
    best: float | None = None
    best_step: int | None = None
    log: Path | None = None
