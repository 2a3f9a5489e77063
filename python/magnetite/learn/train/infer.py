"""The model at rest, for phases: sharded over the devices, in order, and remembered."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from magnetite.learn import distributed
from magnetite.learn.method import Method
from magnetite.learn.randomness import mix_rows
from magnetite.learn.types import Batch, Embeddings, Examples

Derived = dict[str, Tensor]


@contextmanager
def at_rest(method: Method) -> Iterator[None]:
    """Within, the method is in eval mode and without gradient."""
    training = method.training
    method.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        method.train(training)


@dataclass
class Inference:
    """Runs the model over examples, and saves what a phase derives from it.

    Attributes:
        method: The model.
        ready: Turns texts into ids.
        device: Where the model is.
        batch: Examples at once.
        seed: Of the randomness, if any is left at rest.
        between: Called between batches; may raise to stop.
        save: Called with everything derived so far.
        derived: What this phase has derived, in order; filled before on a resume.
    """

    method: Method
    ready: Callable[[Examples], Examples]
    device: torch.device
    batch: int
    seed: int
    between: Callable[[], None]
    save: Callable[[list[Derived]], None]
    derived: list[Derived] = field(default_factory=list)
    _asked: int = 0
    _inside: bool = False

    def derive(self, work: Callable[[], Derived]) -> Derived:
        """Return what `work` returns, or what it returned before the run was resumed."""
        if self._asked == len(self.derived):
            self._inside = True
            try:
                with at_rest(self.method):
                    self.derived.append({name: t.cpu() for name, t in work().items()})
            finally:
                self._inside = False
            self.save(self.derived)
        self._asked += 1
        return self.derived[self._asked - 1]

    def __call__(self, examples: Examples) -> Embeddings:
        """Return `method.encode` of all examples, on the CPU, the same on every rank."""
        if not self._inside:
            raise RuntimeError(
                "infer(examples) outside of infer.derive(work): its result would not be saved "
                "with the run; move the call into the function given to derive"
            )
        examples = self.ready(examples)
        world = distributed.world()
        rows = torch.arange(len(examples))
        padding = rows[:1].repeat(-len(rows) % world)  # every rank must have as many
        mine = distributed.share(torch.cat([rows, padding]))
        parts = [self._encode(examples.take(some)) for some in mine.split(self.batch)]
        if not parts:
            raise ValueError("infer was given no examples")
        return {
            name: distributed.gather(torch.cat([part[name] for part in parts])).cpu()[: len(rows)]
            for name in parts[0]
        }

    def _encode(self, batch: Batch) -> Embeddings:
        self.between()
        keys = mix_rows(batch.facts["row"], self.seed)
        return self.method.encode(batch.having(facts={"key": keys}).to(self.device))
