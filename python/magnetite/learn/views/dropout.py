"""Dropout whose mask belongs to the example: the same in any chunk, on any rank, at any width."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from magnetite.learn.randomness import current_draws, uniform


def keyed_dropout(states: Tensor, p: float) -> Tensor:
    """Return the states, each element zeroed with probability p, the others divided by 1 − p.

    Inside `keyed`, the mask is a function of the row's key, of how often the rows were drawn from
    before, and of the element's coordinates. Outside, it is torch's own.

    Args:
        states: States, row by row.  # [n, ...]
        p: Probability of an element to go.
    """
    draws = current_draws()
    if draws is None:
        return F.dropout(states, p)
    luck = uniform(draws.next(len(states)), *states.shape[1:])
    return states * (luck >= p).to(states.dtype) / (1.0 - p)


class KeyedDropout(TorchFunctionMode):
    """Within, every `nn.Dropout` and `F.dropout` in training is `keyed_dropout`.

    A mode of torch rather than modules of our own: attention in foreign code calls the function.
    Fused attention has its dropout inside, out of reach, so it is refused.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function returns
        """Return what the function returns, dropout replaced."""
        named = dict(kwargs or {})
        if func is F.dropout:
            return _dropout(*args, **named)
        if func is F.scaled_dot_product_attention and named.get("dropout_p", 0.0):
            raise ValueError(
                "fused attention draws its dropout itself, so chunks and ranks would differ; "
                "load the model with attn_implementation='eager'"
            )
        return func(*args, **named)


def _dropout(
    input: Tensor,  # noqa: A002 - torch's name
    p: float = 0.5,
    training: bool = True,  # noqa: FBT001, FBT002 - torch's signature
    inplace: bool = False,  # noqa: ARG001, FBT001, FBT002
) -> Tensor:
    return keyed_dropout(input, p) if training and p > 0.0 else input
