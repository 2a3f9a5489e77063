"""Small networks on top of a vector."""

from collections.abc import Callable
from itertools import pairwise

from torch import nn


def mlp(
    *sizes: int,
    activation: Callable[[], nn.Module] = nn.ReLU,
    norm: Callable[[int], nn.Module] | None = None,
) -> nn.Sequential:
    """Return linear layers of these sizes, with norm and activation between them.

    A head with a norm over the batch mixes rows and so belongs in `loss`, not in `encode`.
    """
    layers: list[nn.Module] = []
    for number, (wide, narrow) in enumerate(pairwise(sizes)):
        if number:
            layers += [norm(wide)] if norm else []
            layers.append(activation())
        layers.append(nn.Linear(wide, narrow))
    return nn.Sequential(*layers)
