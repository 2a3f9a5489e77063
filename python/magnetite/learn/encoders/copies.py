"""Copies of a network that do not learn: frozen, or following the original at a distance."""

from copy import deepcopy
from typing import Any, Self

import torch
from torch import Tensor, nn


class Frozen(nn.Module):
    """A copy without gradients, always in eval mode: `train()` cannot wake it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = deepcopy(module).requires_grad_(requires_grad=False).eval()

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002, FBT001, FBT002 - torch's signature
        """Stay at rest."""
        return self

    @torch.no_grad()
    def forward(self, *inputs: Any) -> Any:  # noqa: ANN401 - whatever the module takes and gives
        """Return what the copy makes of the inputs, without gradient."""
        return self.module(*inputs)

    @torch.no_grad()
    def follow(self, source: nn.Module, momentum: float) -> None:
        """Move the copy: θ ← momentum · θ + (1 − momentum) · source; buffers are copied."""
        ours: list[Tensor] = list(self.module.parameters())
        theirs: list[Tensor] = list(source.parameters())
        torch._foreach_lerp_(ours, theirs, 1.0 - momentum)
        for buffer, other in zip(self.module.buffers(), source.buffers(), strict=True):
            buffer.copy_(other)
