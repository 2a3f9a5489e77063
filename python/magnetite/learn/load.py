"""What was sealed, or saved by others, back as a module with trainable weights."""

import os
from pathlib import Path

from safetensors.torch import load_file

from magnetite.encode.artifact import MANIFEST, TOKENIZER, WEIGHTS, Artifact
from magnetite.encode.encoder import BUILTIN
from magnetite.learn.encoders import StaticEncoder
from magnetite.learn.export import folder, restore
from magnetite.learn.types import Embedder
from magnetite.text import Tokenizer


def load(source: str | os.PathLike[str] | None = None) -> Embedder:
    """Return an encoder, or a cross-encoder, ready to be trained on.

    Args:
        source: The directory of an artifact, a folder that sentence-transformers saved, or a hub
            id; `None` for the encoder that ships with the package.

    Raises:
        FileNotFoundError: If there is no such directory, or a file of it is missing.
        FormatError: If a file was changed, or the artifact keeps nothing that can be trained.
    """
    place = BUILTIN if source is None else source
    if not (Path(place) / MANIFEST).is_file() and source is not None:
        found = folder.read(folder.find(place))
        found.module.tokenizer = Tokenizer.from_json(found.tokenizer)
        return found.module
    artifact = Artifact.load(place)
    if artifact.manifest.engine != "static":
        return restore(artifact)
    tensors = load_file(artifact.directory / WEIGHTS)
    return StaticEncoder.from_int8(
        tensors["table"],
        tensors["scale"],
        tensors["weight"],
        tokenizer=Tokenizer.load(artifact.directory / TOKENIZER),
        max_tokens=artifact.manifest.max_tokens,
    )
