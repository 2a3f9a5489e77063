"""The gradient of one step: encode in chunks, one loss on the global batch, encode again.

A loss needs embeddings, not the model. So with chunks: (1) encode every chunk without a graph;
(2) gather, compute the loss, and back-propagate it to the embeddings alone; (3) encode every chunk
again, with a graph and the same randomness, and push the embeddings' gradients through it. Memory
is that of one chunk; the gradient is that of the whole batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from magnetite.learn.distributed import gather, gather_facts, rank
from magnetite.learn.method import Method
from magnetite.learn.randomness import keyed, mix
from magnetite.learn.types import Batch, Embeddings, Facts, Losses
from magnetite.learn.views import KeyedDropout


@dataclass(frozen=True)
class Step:
    """What a step made of the global batch, detached."""

    z: Embeddings
    facts: Facts
    losses: Losses
    total: Tensor


def accumulate(
    method: Method,
    batch: Batch,
    *,
    seed: int,
    chunk: int | None = None,
    precision: torch.dtype = torch.float32,
    scale: Callable[[Tensor], Tensor] = lambda loss: loss,
) -> Step:
    """Add the gradient of the global batch's loss to the parameters' gradients.

    Args:
        method: What is trained.
        batch: This rank's share, after `draw`.
        seed: Of this step; the same on every rank.
        chunk: Rows to encode at once.
        precision: Of the encoder.
        scale: Multiplies the loss before the backward pass (float16).
    """
    pieces = batch.chunks(chunk)

    def encode(number: int) -> Embeddings:
        # Keys cover randomness that knows its example, the seed that which does not.
        torch.manual_seed(mix(seed, rank(), number))
        piece = pieces[number]
        device = piece.facts["key"].device.type
        with (
            keyed(piece.facts["key"]),
            KeyedDropout(),
            torch.autocast(device, dtype=precision, enabled=precision != torch.float32),
        ):
            return method.encode(piece)

    if len(pieces) == 1:
        local = encode(0)
    else:
        with torch.no_grad():
            parts = [encode(number) for number in range(len(pieces))]
        local = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        local = {name: _leaf(z) for name, z in local.items()}

    z = {name: gather(_wide(rows)) for name, rows in local.items()}
    facts = gather_facts(batch.facts)
    torch.manual_seed(mix(seed, -1))
    losses = method.loss(z, facts)
    total = torch.stack(list(losses.values())).sum()
    scale(total).backward()

    if len(pieces) > 1:
        start = 0
        for number, piece in enumerate(pieces):
            _push(encode(number), local, slice(start, start + len(piece)))
            start += len(piece)
    return Step(
        {name: rows.detach() for name, rows in z.items()},
        facts,
        {name: loss.detach() for name, loss in losses.items()},
        total.detach(),
    )


def _push(again: Embeddings, leaves: Embeddings, rows: slice) -> None:
    """Back-propagate the leaves' gradients of these rows through the second encoding."""
    outputs, gradients = [], []
    for name, output in again.items():
        gradient = leaves[name].grad
        if output.requires_grad and gradient is not None:
            outputs.append(output)
            gradients.append(gradient[rows])
    if outputs:
        torch.autograd.backward(outputs, gradients)


def _leaf(rows: Tensor) -> Tensor:
    return rows.requires_grad_() if rows.is_floating_point() else rows


def _wide(rows: Tensor) -> Tensor:
    return rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows
