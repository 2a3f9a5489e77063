"""Modules become artifacts; every step is measured, and one that strays is refused."""

import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from magnetite.encode.artifact import (
    CROSS_ENCODER,
    ENCODER,
    GOLDEN,
    MODEL,
    TOKENIZER,
    Artifact,
    Manifest,
    free_directory,
)
from magnetite.encode.golden import Golden
from magnetite.encode.pairs import Pairing
from magnetite.encode.session import INPUTS, Cells
from magnetite.encode.verify import BOUND, scale
from magnetite.learn.encoders.cross_encoder import CrossEncoder, Markers, Sides
from magnetite.learn.export import graph
from magnetite.learn.export.describe import describe, pool_names
from magnetite.learn.export.golden_texts import PAIRS, TEXTS
from magnetite.text import Tokenizer, Tokens

if TYPE_CHECKING:
    from magnetite.encode.engines import Ragged

Module = TypeVar("Module", bound=nn.Module)
TOOLS = ("magnetite", "torch", "transformers", "onnx", "onnxruntime")


@dataclass(frozen=True, kw_only=True)
class Card:
    """What artifact.json says and no graph knows."""

    tokenizer: str
    """The content of tokenizer.json."""
    max_tokens: int
    kind: str = ENCODER
    similarity: str = "cosine"
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def manifest(self, engine: str, golden: Golden, **more: Any) -> Manifest:  # noqa: ANN401
        """Return the manifest of an encoder that gave these golden vectors."""
        tools = {"tools": {name: metadata.version(name) for name in TOOLS}}
        lengths = np.linalg.norm(golden.vectors[1:], axis=1)
        return Manifest(
            kind=self.kind,
            engine=engine,
            dim=golden.vectors.shape[1],
            max_tokens=self.max_tokens,
            similarity=self.similarity,
            normalized=self.kind == ENCODER and bool(np.allclose(lengths, 1, atol=1e-3)),
            prompts=dict(self.prompts),
            default_prompt=self.default_prompt,
            provenance={**self.provenance, **tools},
            **more,
        )


def seal(
    module: nn.Module, card: Card, out: str | os.PathLike[str], *, allow_unfused: bool = False
) -> Artifact:
    """Return the artifact of `module`, written to `out`.

    Args:
        module: Ids and mask [n, L] to vectors [n, dim], or a `CrossEncoder`; left as it is.
        card: Its tokenizer, lengths, prompts and origin.
        out: A directory that does not exist yet.
        allow_unfused: Accept attention that ONNX Runtime does not fuse: same result, slower.

    Raises:
        FileExistsError: `out` holds something.
        ValueError: The graph's vectors differ from the module's by more than 1e-4, or its
            attention is not fused.
    """
    free_directory(out)
    module = frozen(module)
    vocabulary = Tokenizer.from_json(card.tokenizer).vocab_size
    paired = isinstance(module, CrossEncoder)
    inputs = INPUTS if paired else graph.TEXT
    probes = graph.probe(module, vocabulary, card.max_tokens, inputs=inputs, ever=_ever(module))
    largest = np.concatenate([one.vectors for one in probes])
    bound = BOUND * (scale(largest) if paired else 1)
    traced = graph.trace(module, inputs=inputs, output="score" if paired else "embedding")
    deviations = {
        "traced": within_bound("tracing", graph.largest_difference(traced, probes), bound)
    }
    fused = graph.fuse(traced, module, allow_unfused=allow_unfused)
    deviations["fused"] = within_bound("fusing", graph.largest_difference(fused, probes), bound)
    description = describe(module)
    places, lost = graph.locate(module.state_dict(), fused) if description else ({}, {})

    def write(folder: Path) -> Manifest:
        graph.write(fused, lost, folder)
        golden, deviations["batched"] = write_golden(folder, card)
        wanted = module_vectors(module, card)
        apart = graph.largest(golden.vectors - wanted)
        deviations["sealed"] = within_bound("sealing", apart, bound)
        return card.manifest(
            "onnx",
            golden,
            pooling=pool_names(module),
            deviations=deviations,
            module={**description, "weights": places} if description else {},
        )

    return Artifact.seal(out, write)


def _ever(module: nn.Module) -> list[int]:
    """Return ids without which a row scores 0, whatever else it holds."""
    if isinstance(module, CrossEncoder) and isinstance(module.score, Markers):
        return [*module.score.document, *module.score.query]
    if isinstance(module, CrossEncoder) and isinstance(module.score, Sides):
        return [module.score.document, *module.score.span]
    return []


def frozen(module: Module) -> Module:
    """Return a float32 copy for inference on the CPU, with attention that can be fused."""
    copy = deepcopy(module).cpu().float().eval().requires_grad_(requires_grad=False)
    for part in copy.modules():
        choose = getattr(part, "set_attn_implementation", None)
        if callable(choose):
            choose("eager")
    return copy


def write_golden(folder: Path, card: Card) -> tuple[Golden, float]:
    """Write tokenizer.json and the golden vectors that the graph in `folder` gives.

    Returns:
        The golden rows, each text run alone; and the largest difference from all in one batch.
    """
    (folder / TOKENIZER).write_text(card.tokenizer, encoding="utf-8")
    session = onnxruntime.InferenceSession(str(folder / MODEL), providers=["CPUExecutionProvider"])

    read = {one.name for one in session.get_inputs()}

    def run(cells: Cells) -> NDArray[np.float32]:
        named = dict(zip(INPUTS, cells, strict=False))
        fed = {name: one for name, one in named.items() if name in read}
        return session.run(None, fed)[0]  # type: ignore[no-any-return]

    alone = np.concatenate([run(cells) for cells in padded(card, together=False)])
    [batch] = padded(card, together=True)
    golden = Golden(TEXTS if card.kind == ENCODER else PAIRS, alone)
    golden.write(folder / GOLDEN)
    return golden, graph.largest(run(batch) - alone)


def module_vectors(module: nn.Module, card: Card) -> NDArray[np.float32]:
    """Return what `module` makes of each golden text alone, [n, dim]."""
    with torch.inference_mode():
        rows = [
            module(*map(torch.from_numpy, cells)).numpy() for cells in padded(card, together=False)
        ]
    return np.concatenate(rows)


def padded(card: Card, *, together: bool) -> list[Cells]:
    """Return the cells of the golden texts, with the default prompt: one batch, or one each."""
    tokenizer = Tokenizer.from_json(card.tokenizer)
    if card.kind == CROSS_ENCODER:
        tokens: Ragged | Tokens = Pairing.of(tokenizer, card.max_tokens).rows(PAIRS)[0]
    else:
        prompt = card.prompts[card.default_prompt] if card.default_prompt is not None else ""
        texts = [prompt + text for text in TEXTS]
        tokens = tokenizer.encode_batch(texts, max_tokens=card.max_tokens)
    widths = np.maximum(np.diff(tokens.starts), 1)  # a text without tokens is one cell of padding
    if together:
        return [tokens.fill(np.arange(len(widths)), int(widths.max()))]
    return [tokens.fill(np.array([row]), int(width)) for row, width in enumerate(widths)]


def within_bound(step: str, deviation: float, bound: float = BOUND) -> float:
    """Return `deviation`, or refuse to go on after a step that changed vectors by more."""
    if not deviation <= bound:
        raise ValueError(
            f"{step} changed a coordinate by {deviation:.1e}, and at most {bound:.0e} is allowed; "
            "this model's graph is not its module, so nothing was written"
        )
    return deviation
