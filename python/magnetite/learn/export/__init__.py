"""Sealing: PyTorch modules and saved models become artifacts."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from magnetite.encode.artifact import CROSS_ENCODER, ENCODER, SCORE, Artifact
from magnetite.learn.encoders.cross_encoder import CrossEncoder
from magnetite.learn.encoders.static import StaticEncoder
from magnetite.learn.export import folder as folders
from magnetite.learn.export.quantize import quantize
from magnetite.learn.export.restore import restore
from magnetite.learn.export.seal import Card, seal
from magnetite.learn.export.static import seal_table
from magnetite.text import Tokenizer

__all__ = ["export", "quantize", "restore", "seal_static"]


def export(
    source: nn.Module | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    prompts: Mapping[str, str] | None = None,
    default_prompt: str | None = None,
    similarity: str | None = None,
    provenance: Mapping[str, Any] | None = None,
    allow_unfused: bool = False,
) -> Artifact:
    """Return the artifact of `source`, written to `out`.

    Args:
        source: A folder that sentence-transformers saved, a hub id, or an embedder that `learn`
            trained: ids and mask to vectors, with `tokenizer` and `max_tokens`. A cross-encoder of
            transformers', one with a single label, is such a folder too.
        out: A directory that does not exist yet.
        prompts: Texts that may go before a text, by name; else those of the source.
        default_prompt: The prompt that goes before a text when none is named; else the source's.
        similarity: `cosine`, `dot` or `l2`; else that of the source, else cosine.
        provenance: What artifact.json should say about where the weights come from.
        allow_unfused: Accept attention that ONNX Runtime does not fuse: same result, slower.

    Raises:
        FileNotFoundError: There is no such folder, and the hub has no such model or is out of
            reach.
        FileExistsError: `out` holds something.
        ValueError: The model has a part without counterpart here, its graph strays from its
            module by more than 1e-4, or its attention is not fused.
    """
    if isinstance(source, nn.Module):
        module, tokenizer = source, _of(source, "tokenizer").to_json()
        name, own_prompts, own_default, own_similarity = type(source).__name__, {}, None, "cosine"
    else:
        read = folders.read(folders.find(source))
        module, tokenizer, name = read.module, read.tokenizer, os.fspath(source)
        name = Path(name).name if Path(name).exists() else name  # a hub id is a name already
        own_prompts, own_default = read.prompts, read.default_prompt
        own_similarity = read.similarity
    paired = isinstance(module, CrossEncoder)
    card = Card(
        kind=CROSS_ENCODER if paired else ENCODER,
        tokenizer=tokenizer,
        max_tokens=_of(module, "max_tokens"),
        similarity=SCORE if paired else similarity or own_similarity,
        prompts=own_prompts if prompts is None else prompts,
        default_prompt=own_default if default_prompt is None else default_prompt,
        provenance={"source": name, **(provenance or {})},
    )
    if isinstance(module, StaticEncoder):
        return seal_table(module, card, out)
    return seal(module, card, out, allow_unfused=allow_unfused)


def seal_static(
    module: StaticEncoder,
    tokenizer: str | os.PathLike[str] | Tokenizer,
    out: str | os.PathLike[str],
    *,
    max_tokens: int,
    similarity: str = "cosine",
    provenance: Mapping[str, Any] | None = None,
) -> Artifact:
    """Return the artifact of a static encoder, its table rounded to int8, written to `out`.

    Args:
        module: Token vectors and weights.
        tokenizer: A tokenizer, or the path of a tokenizer.json; it decides about special tokens.
        out: A directory that does not exist yet.
        max_tokens: Where texts are cut.
        similarity: What the vectors were trained for.
        provenance: What artifact.json should say about where the weights come from.
    """
    if not isinstance(tokenizer, Tokenizer):
        tokenizer = Tokenizer.load(tokenizer)
    card = Card(
        tokenizer=tokenizer.to_json(),
        max_tokens=max_tokens,
        similarity=similarity,
        provenance=provenance or {},
    )
    return seal_table(module, card, out)


def _of(module: nn.Module, name: str) -> Any:  # noqa: ANN401 - what the attribute holds
    value = getattr(module, name, None)
    if value is None:
        raise ValueError(
            f"{type(module).__name__}.{name} is not set; an artifact needs it: set it to the one "
            "that the module was trained with"
        )
    return value
