"""A tower as JSON, and the tower again: what an artifact keeps so that it can be trained on."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from magnetite.learn.encoders import pool
from magnetite.learn.encoders.backbone import Backbone
from magnetite.learn.encoders.cross_encoder import CrossEncoder, First, Markers, Sides
from magnetite.learn.encoders.tower import Tower

Pool = Callable[[Tensor, Tensor], Tensor]


def sum_by_root(states: Tensor, mask: Tensor) -> Tensor:
    """Return the sum over the text's tokens, divided by the square root of their number."""
    return pool.mean(states, mask) * mask.sum(1, keepdim=True).to(states.dtype).sqrt()


def later_more(states: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the text's tokens, the i-th weighing i."""
    weights = (mask.cumsum(1) * mask).to(states.dtype)[..., None]
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


POOLS: dict[str, Pool] = {  # by the names of sentence-transformers
    "cls": pool.first,
    "max": pool.largest,
    "mean": pool.mean,
    "mean_sqrt_len_tokens": sum_by_root,
    "weightedmean": later_more,
    "lasttoken": pool.last,
}
NAMES = {function: name for name, function in POOLS.items()}


class Pools(nn.Module):
    """Several pools side by side."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = list(names)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Return the vectors of all pools, [n, pools · d]."""
        return torch.cat([POOLS[name](states, mask) for name in self.names], dim=-1)


def build_pool(names: Sequence[str]) -> Pool:
    """Return the pool of these names, in this order."""
    unknown = [name for name in names if name not in POOLS]
    if unknown or not names:
        raise ValueError(f"pooling {list(names)} is unknown; known: {sorted(POOLS)}")
    return POOLS[names[0]] if len(names) == 1 else Pools(names)


def build_head(layers: Sequence[dict[str, Any]]) -> nn.Module:
    """Return the head that `describe` described."""
    built: list[nn.Module] = []
    for layer in layers:
        if "linear" in layer:
            wide, narrow, bias = layer["linear"]
            built.append(nn.Linear(wide, narrow, bias=bias))
        else:
            built.append(_activation(layer["activation"]))
    return nn.Sequential(*built) if built else nn.Identity()


def _activation(name: str) -> nn.Module:
    kind = getattr(nn.modules.activation, name, None)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ValueError(f"activation {name!r} is not one of torch.nn")
    return kind()


def pool_names(module: nn.Module) -> list[str]:
    """Return how `module` pools, by the names of sentence-transformers; `custom` if by its own."""
    how = getattr(module, "pool", None)
    if isinstance(how, Pools):
        return how.names
    return [NAMES.get(how, "custom")] if how is not None else []


def describe(module: nn.Module) -> dict[str, Any]:
    """Return what `build` needs; nothing for a module that is not made of known parts."""
    if isinstance(module, CrossEncoder):
        return _describe_cross_encoder(module)
    if not (isinstance(module, Tower) and isinstance(module.backbone, Backbone)):
        return {}
    head = _describe_head(module.head)
    if head is None:
        return {}
    pooling = pool_names(module)
    if "custom" in pooling:
        return {}
    return {
        "backbone": module.backbone.config,
        "pooling": pooling,
        "head": head,
        "normalize": module.normalize,
    }


def _describe_head(module: nn.Module) -> list[dict[str, Any]] | None:
    head: list[dict[str, Any]] = []
    for layer in module if isinstance(module, nn.Sequential) else [module]:
        if isinstance(layer, nn.Linear):
            shape = [layer.in_features, layer.out_features, layer.bias is not None]
            head.append({"linear": shape})
        elif type(layer).__module__ == "torch.nn.modules.activation":
            head.append({"activation": type(layer).__name__})
        elif not isinstance(layer, nn.Identity):
            return None
    return head


def _describe_cross_encoder(module: CrossEncoder) -> dict[str, Any]:
    if isinstance(module.score, Markers):
        score: dict[str, Any] = {"markers": [module.score.query, module.score.document]}
    elif isinstance(module.score, Sides):
        score = {"sides": [module.score.document, module.score.span]}
    else:
        head = _describe_head(module.score.head)
        if head is None:
            return {}
        score = {"head": head, "alone": isinstance(module.score.head, nn.Linear)}
    return {"backbone": module.backbone.config, "score": score}


def build_cross_encoder(description: dict[str, Any], *, max_tokens: int) -> CrossEncoder:
    """Return the cross-encoder that `describe` described, with random weights."""
    how = description["score"]
    score: First | Markers | Sides
    if "markers" in how:
        score = Markers(*how["markers"])
    elif "sides" in how:
        score = Sides(*how["sides"])
    else:
        head = build_head(how["head"])
        score = First(head[0] if how["alone"] else head)  # type: ignore[index]
    backbone = Backbone.from_config(description["backbone"])
    return CrossEncoder(backbone, score, max_tokens=max_tokens)


def build(description: dict[str, Any], *, dim: int, max_tokens: int) -> Tower:
    """Return the tower that `describe` described, with random weights."""
    return Tower(
        Backbone.from_config(description["backbone"]),
        build_pool(description["pooling"]),
        dim=dim,
        head=build_head(description["head"]),
        normalize=description["normalize"],
        max_tokens=max_tokens,
    )
