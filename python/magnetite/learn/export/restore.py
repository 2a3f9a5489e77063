"""A sealed transformer as a module that can be trained on."""

from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from magnetite._core import FormatError
from magnetite.encode.artifact import (
    CROSS_ENCODER,
    MANIFEST,
    TOKENIZER,
    WEIGHTS,
    Artifact,
    Manifest,
)
from magnetite.learn.encoders.cross_encoder import CrossEncoder
from magnetite.learn.encoders.tower import Tower
from magnetite.learn.export.describe import build, build_cross_encoder
from magnetite.text import Tokenizer


def restore(artifact: Artifact) -> Tower | CrossEncoder:
    """Return the tower or cross-encoder that was sealed, its weights bit for bit.

    Raises:
        FormatError: artifact.json does not say how its module is built, as for modules that are
            not made of known parts.
    """
    manifest, path = artifact.manifest, artifact.directory / MANIFEST
    description = dict(manifest.module)
    places = description.pop("weights", None)
    if not places:
        raise FormatError(f"{path} does not say how its module is built; train the original module")
    try:
        tower = _built(manifest, description)
        constants = load_file(artifact.directory / WEIGHTS)
        tower.load_state_dict(
            {
                name: _taken(constants, *places[name], like=weight)
                for name, weight in tower.state_dict().items()
            }
        )
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise FormatError(f"{path} describes no module that its weights fit: {error}") from error
    tower.tokenizer = Tokenizer.load(artifact.directory / TOKENIZER)
    return tower


def _built(manifest: Manifest, description: dict[str, Any]) -> Tower | CrossEncoder:
    if manifest.kind == CROSS_ENCODER:
        return build_cross_encoder(description, max_tokens=manifest.max_tokens)
    return build(description, dim=manifest.dim, max_tokens=manifest.max_tokens)


def _taken(
    constants: dict[str, Tensor], name: str, transposed: object, first: int, *, like: Tensor
) -> Tensor:
    """Return the weight of the shape `like` that `graph.locate` found there."""
    columns = like.shape[0] if transposed else like.shape[-1]
    found = constants[name][..., first : first + columns]
    return (found.T if transposed else found).clone()
