"""An artifact back as a module with trainable weights."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from magnetite.learn.encoders import StaticEncoder

BUILT_IN = Path(__file__).parents[1] / "encode" / "builtin"


def load(artifact: str | Path | None = None) -> StaticEncoder:
    """Return the encoder that an artifact was sealed from, ready to be trained on.

    Args:
        artifact: Its directory; `None` for the encoder that ships with the package.

    Raises:
        FileNotFoundError: If the directory or one of its files is missing.
        ValueError: If the artifact keeps nothing that can be trained.
    """
    from magnetite.text import Tokenizer

    folder = BUILT_IN if artifact is None else Path(artifact)
    about = json.loads((folder / "artifact.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    if about["engine"] != "static":
        raise ValueError(f"{folder} is of engine {about['engine']!r}; want 'static'")
    tensors = load_file(folder / "model.safetensors")
    return StaticEncoder.from_int8(
        tensors["table"].to(torch.int8),
        tensors["scale"],
        tensors["weight"],
        tokenizer=tokenizer,
        max_tokens=about.get("max_tokens"),
    )
