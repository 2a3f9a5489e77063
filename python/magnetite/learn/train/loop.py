"""The loop: one straight line for every method. It knows no recipe."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import count, islice
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from magnetite.learn import distributed
from magnetite.learn.data import Data, shuffled
from magnetite.learn.method import Method
from magnetite.learn.randomness import mix, mix_rows
from magnetite.learn.train.checkpoint import Checkpoints, Place, refuse_changes
from magnetite.learn.train.gradient import Step, accumulate
from magnetite.learn.train.infer import Inference, at_rest
from magnetite.learn.train.interrupt import Interruptible
from magnetite.learn.train.log import Log
from magnetite.learn.train.settings import Outcome, Settings
from magnetite.learn.types import Batch, Examples, Phase, trainable

Judge = Callable[[Method], float]


def train(method: Method, data: Data, settings: Settings, *, judge: Judge | None = None) -> Outcome:
    """Train a method in place; it is left in eval mode.

    Under torchrun every process calls this with the same arguments. Ctrl-C finishes the step,
    saves, and raises KeyboardInterrupt; `resume=True` goes on from there as the same run.

    Args:
        method: What is trained.
        data: Examples; texts are tokenized by `method.embedder.tokenizer`.
        settings: How.
        judge: Higher is better; the weights it likes best are the method's in the end.

    Raises:
        ValueError: If the data do not fill one batch, `out` holds another run, or the settings of
            a resumed run changed.
        FloatingPointError: If the loss is not finite.
    """
    began = time.perf_counter()
    device = distributed.start(settings.device)
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        Interruptible() as ctrl_c,
        _Run(method, data, settings, judge, device, ctrl_c) as run,
    ):
        place = run.place
        phase = run.ask_phase(place.phase)
        while phase is not None:
            length, each_pass = _length(phase, settings, place)
            examples = _ready(phase.examples, method)
            run.expect(length)
            for rows in islice(_batches(phase, settings, place), place.done, length):
                run.set_rates(length)
                run.take_step(_fetch(examples, rows, mix(settings.seed, place.step), device))
                last = place.done == length
                every = settings.judge_every
                if last or (place.step % every if every else place.done % each_pass) == 0:
                    run.ask_judge()
                if place.step % settings.save_every == 0 or last:
                    run.save()
                run.stop_if_wanted()
            phase = run.next_phase(phase)
        run.keep_best()
    return Outcome(
        steps=place.step,
        seconds=time.perf_counter() - began,
        losses=run.losses,
        best=place.best,
        best_step=place.best_step,
        log=settings.out / "log.jsonl" if settings.out else None,
    )


def _length(phase: Phase, settings: Settings, place: Place) -> tuple[int, int]:
    """Return how many steps this visit of a phase lasts, and how many one pass has."""
    first = (phase.order or shuffled)(
        len(phase.examples), batch=settings.batch, seed=_pass_seed(settings, place, 0)
    )
    each_pass = len(first) // settings.batch
    if each_pass == 0:
        raise ValueError(
            f"{len(first)} examples do not fill one batch of {settings.batch}; "
            "give more examples or a smaller batch"
        )
    length = phase.steps or each_pass * (settings.epochs or 1)
    if settings.steps is not None:
        length = min(length, place.done + settings.steps - place.step)
    return length, each_pass


def _pass_seed(settings: Settings, place: Place, number: int) -> int:
    return mix(settings.seed, place.phase, place.visit, number)


def _batches(phase: Phase, settings: Settings, place: Place) -> Iterator[Tensor]:
    """Yield the row numbers of each global batch, pass after pass, without end."""
    for number in count():
        rows = (phase.order or shuffled)(
            len(phase.examples), batch=settings.batch, seed=_pass_seed(settings, place, number)
        )
        yield from (some for some in rows.split(settings.batch) if len(some) == settings.batch)


def _ready(examples: Examples, method: Method) -> Examples:
    """Return the examples with their texts as ids."""
    tokenizer = getattr(method.embedder, "tokenizer", None)
    if tokenizer is None:
        return examples
    return examples.tokenized(tokenizer, method.embedder.max_tokens)


def _fetch(examples: Examples, rows: Tensor, seed: int, device: torch.device) -> Batch:
    """Return this rank's share of a batch, with its keys, on the device."""
    batch = examples.take(distributed.share(rows))
    return batch.having(facts={"key": mix_rows(batch.facts["row"], seed)}).to(device)


def _optimizer(method: Method, settings: Settings) -> torch.optim.AdamW:
    """Return AdamW over the method's groups, which must name every trainable parameter once."""
    groups = [
        {
            "params": list(group.parameters),
            "lr": settings.lr if group.lr is None else group.lr,
            "weight_decay": (
                settings.weight_decay if group.weight_decay is None else group.weight_decay
            ),
        }
        for group in method.groups()
    ]
    grouped = [id(parameter) for group in groups for parameter in group["params"]]  # type: ignore[attr-defined]
    names = {id(p): name for name, p in method.named_parameters() if p.requires_grad}
    wrong = [name for key, name in names.items() if grouped.count(key) != 1]
    if wrong:
        raise ValueError(f"groups() must name each trainable parameter once; look at {wrong}")
    return torch.optim.AdamW(groups, betas=settings.betas, eps=settings.eps)


@dataclass
class _Run:
    """What a run holds between steps, and the single acts of the loop."""

    method: Method
    data: Data
    settings: Settings
    judge: Judge | None
    device: torch.device
    ctrl_c: Interruptible
    place: Place = field(default_factory=Place)
    losses: list[float] = field(default_factory=list)
    best: dict[str, Any] | None = None

    def __enter__(self) -> "_Run":
        method, settings = self.method, self.settings
        if settings.batch % distributed.world():
            raise ValueError(
                f"batch {settings.batch} must divide evenly among {distributed.world()} processes"
            )
        method.to(self.device).train()
        distributed.broadcast(method)
        self.parameters = list(trainable([method]))
        self.optimizer = _optimizer(method, settings)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=settings.precision == torch.float16
        )
        self.first = distributed.rank() == 0
        self.files = Checkpoints(settings.out)
        saved = self.files.load("checkpoint.pt")
        distributed.wait()  # until every rank has looked, before the first one writes
        self.resumed = saved is not None
        if saved is not None and not settings.resume:
            raise ValueError(
                f"{settings.out} already holds a run; give resume=True to go on with it, "
                "or another out"
            )
        if saved is not None:
            self._go_on(saved)
        elif self.first:
            self.files.clear()
            self.save()
        kept = self.first and settings.out is not None
        path = settings.out / "log.jsonl" if kept and settings.out else None
        self.log = Log(path, keep_until=self.place.step)
        shown = settings.progress and self.first
        self.bar = tqdm(initial=self.place.step, unit="step", disable=not shown)
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()
        self.log.close()
        self.method.eval()

    # -- state

    def _binding(self) -> dict[str, str]:
        return self.settings.binding() | {"processes": str(distributed.world())}

    def _go_on(self, saved: dict[str, Any]) -> None:
        refuse_changes(saved["settings"], self._binding())
        self.method.load_state_dict(saved["method"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])
        self.place = Place(**saved["place"])
        best = self.files.load("best.pt")
        self.best = None if best is None or self.place.best is None else best["method"]

    def save(self) -> None:
        """Write everything a resume needs."""
        if self.first:
            self.files.save(
                "checkpoint.pt",
                {
                    "place": asdict(self.place),
                    "settings": self._binding(),
                    "method": self.method.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "scaler": self.scaler.state_dict(),
                },
            )

    def stop_if_wanted(self) -> None:
        """Save and raise KeyboardInterrupt if somebody pressed Ctrl-C."""
        if distributed.any_rank(says=self.ctrl_c.wanted, device=self.device):
            self.save()
            raise KeyboardInterrupt

    # -- phases

    def ask_phase(self, number: int) -> Phase | None:
        """Return a phase of the method, with what it derived before a resume."""
        name = f"derived-{number}.pt"
        known = self.files.load(name) if self.resumed and number == self.place.phase else None

        def save(derived: list[dict[str, Tensor]]) -> None:
            if self.first:
                self.files.save(name, {"step": self.place.step, "derived": derived})

        infer = Inference(
            method=self.method,
            ready=lambda examples: _ready(examples, self.method),
            device=self.device,
            batch=self.settings.infer_batch,
            seed=mix(self.settings.seed, number),
            between=self.stop_if_wanted,
            save=save,
            derived=[] if known is None else known["derived"],
        )
        return self.method.phase(number, self.data, infer)

    def next_phase(self, phase: Phase) -> Phase | None:
        """Return the next phase, or the last one again while steps remain."""
        place, limit = self.place, self.settings.steps
        if limit is not None and place.step >= limit:
            return None
        following = self.ask_phase(place.phase + 1)
        if following is None and limit is None:
            return None
        if following is None:
            place.visit += 1
        else:
            place.phase, place.visit = place.phase + 1, 0
        place.done = 0
        return following or phase

    def expect(self, length: int) -> None:
        """Tell the bar how many steps there are, as far as is known."""
        known = self.place.step - self.place.done + length
        self.bar.total = self.settings.steps or known

    # -- one step

    def set_rates(self, length: int) -> None:
        """Set the learning rates of the coming step."""
        place, settings = self.place, self.settings
        if settings.steps is None:
            done, total = place.done, length
        else:
            done, total = place.step, settings.steps
        rising = round(settings.warmup * total)
        if done < rising:
            factor = (done + 1) / rising
        else:
            factor = settings.schedule((done - rising) / max(total - rising, 1))
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor

    def take_step(self, batch: Batch) -> None:
        """Draw, encode, compare, learn, remember, log."""
        began = time.perf_counter()
        method, settings, place = self.method, self.settings, self.place
        method.train()
        self.optimizer.zero_grad(set_to_none=True)
        seed = mix(settings.seed, place.step)
        torch.manual_seed(mix(seed, -2, distributed.rank()))
        with torch.no_grad():
            batch = method.draw(batch)
        step = accumulate(
            method,
            batch,
            seed=seed,
            chunk=settings.chunk,
            precision=settings.precision,
            scale=self.scaler.scale,
        )
        distributed.average_gradients(self.parameters)
        self.scaler.unscale_(self.optimizer)
        limit = float("inf") if settings.clip is None else settings.clip
        norm = float(nn.utils.clip_grad_norm_(self.parameters, limit))
        loss = float(step.total)
        if not torch.isfinite(step.total):
            said = {name: float(value) for name, value in step.losses.items()}
            raise FloatingPointError(
                f"step {place.step + 1}: the loss is {loss} ({said}); "
                "look at the data, a lower lr, or float32 instead of float16"
            )
        self.scaler.step(self.optimizer)
        self.scaler.update()
        with torch.no_grad():
            method.after_step(step.z, step.facts)
        place.step, place.done = place.step + 1, place.done + 1
        self.losses.append(loss)
        self._note(step, loss, norm, time.perf_counter() - began)

    def _note(self, step: Step, loss: float, norm: float, seconds: float) -> None:
        self.bar.update()
        self.bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
        if self.place.step % self.settings.log_every == 0:
            self.log.write(
                {
                    "step": self.place.step,
                    "phase": self.place.phase,
                    "loss": loss,
                    "losses": {name: float(value) for name, value in step.losses.items()},
                    "lr": self.optimizer.param_groups[0]["lr"],
                    "norm": norm,
                    "examples_per_second": self.settings.batch / seconds,
                }
            )

    # -- the judge

    def ask_judge(self) -> None:
        """Let the judge look; remember the weights when they are the best so far."""
        if self.judge is None:
            return
        with at_rest(self.method):
            verdict = distributed.agree(self.judge(self.method), self.device)
        place = self.place
        if self.first:
            self.log.write({"step": place.step, "phase": place.phase, "judge": verdict})
        if place.best is None or verdict > place.best:
            place.best, place.best_step = verdict, place.step
            state = self.method.state_dict()
            self.best = {name: value.detach().cpu().clone() for name, value in state.items()}
            if self.first:
                self.files.save("best.pt", {"step": place.step, "method": self.best})

    def keep_best(self) -> None:
        """Give the method the weights that the judge liked best."""
        if self.best is not None:
            self.method.load_state_dict(self.best)
