"""Several devices: gathered rows whose gradient sums, gradients averaged by hand, no wrapper.

Every rank computes the same global loss L from the gathered rows. The backward of `gather` sums
the ranks' gradients, so a rank's rows receive world x dL/dz, its weights world x their own share,
and the average over the ranks is exactly dL/dw. Weights inside the loss receive the whole dL/dw on
every rank, and the average keeps it.
"""

import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from magnetite.learn.types import Facts


def start(device: torch.device | None = None) -> torch.device:
    """Join the process group that torchrun announces, if any; return this process's device."""
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device is None:
        device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def rank() -> int:
    """Return this process's number, 0 when alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """Return the number of processes, 1 when alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:  # noqa: ANN401 - torch's own context
        ctx.rows = len(rows)
        return _concatenated(rows)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # noqa: ANN401
        grad = grads[0].contiguous()
        dist.all_reduce(grad)
        return grad[rank() * ctx.rows : (rank() + 1) * ctx.rows]


def gather(rows: Tensor) -> Tensor:
    """Return the rows of all ranks, in the order of ranks; the backward sums over ranks.

    Args:
        rows: As many on every rank.  # [n, ...]

    Returns:
        The global rows.              # [world * n, ...]
    """
    if world() == 1:
        return rows
    return _Gather.apply(rows) if rows.requires_grad else _concatenated(rows)


def gather_facts(facts: Facts) -> Facts:
    """Return the facts of all ranks, in the order of ranks."""
    return {name: gather(fact) for name, fact in facts.items()}


def _concatenated(rows: Tensor) -> Tensor:
    sent = rows.detach().contiguous()
    sent = sent.byte() if rows.dtype == torch.bool else sent  # gloo knows no bool
    parts = [torch.empty_like(sent) for _ in range(world())]
    dist.all_gather(parts, sent)
    return torch.cat(parts).to(rows.dtype)


def share(rows: Tensor) -> Tensor:
    """Return this rank's consecutive part of rows that divide evenly among the ranks."""
    each = len(rows) // world()
    return rows[rank() * each : (rank() + 1) * each]


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the ranks; a gradient that no rank has stays None."""
    if world() == 1 or not parameters:
        return
    device = parameters[0].device
    having = torch.tensor([p.grad is not None for p in parameters], device=device).float()
    dist.all_reduce(having)
    kept = [p for p, count in zip(parameters, having.tolist(), strict=True) if count]
    by_kind: dict[torch.dtype, list[nn.Parameter]] = {}
    for parameter in kept:
        by_kind.setdefault(parameter.dtype, []).append(parameter)
    for group in by_kind.values():
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in group]
        flat = torch.cat([grad.flatten() for grad in grads])
        dist.all_reduce(flat)
        parts = (flat / world()).split([grad.numel() for grad in grads])
        for parameter, part in zip(group, parts, strict=True):
            parameter.grad = part.view_as(parameter)


@torch.no_grad()
def broadcast(module: nn.Module) -> None:
    """Give every rank the weights and buffers of rank 0."""
    if world() > 1:
        for tensor in [*module.parameters(), *module.buffers()]:
            dist.broadcast(tensor, src=0)


def agree(number: float, device: torch.device) -> float:
    """Return rank 0's number on every rank."""
    if world() == 1:
        return number
    said = torch.tensor(number, dtype=torch.float64, device=device)
    dist.broadcast(said, src=0)
    return float(said)


def wait() -> None:
    """Return when every rank has come here."""
    if world() > 1:
        dist.barrier()


def any_rank(*, says: bool, device: torch.device) -> bool:
    """Return whether any rank says so."""
    if world() == 1:
        return says
    said = torch.tensor(float(says), device=device)
    dist.all_reduce(said, dist.ReduceOp.MAX)
    return bool(said)
