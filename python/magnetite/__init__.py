"""Magnetite: train contrastive text encoders, seal them, and search with them."""

from importlib import import_module, metadata
from typing import Any

from magnetite._core import FormatError

__version__ = metadata.version("magnetite")

# Public name -> the module that holds it, imported when first asked for.
_HOMES: dict[str, str] = {
    "Artifact": "magnetite.encode",
    "Collection": "magnetite.index",
    "CurIndex": "magnetite.index",
    "Document": "magnetite.index",
    "Encoder": "magnetite.encode",
    "Hits": "magnetite.index",
    "Index": "magnetite.index",
    "verify": "magnetite.encode",
}

__all__ = ["FormatError", "__version__", *_HOMES]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the module holds
    """Import the home of a public name when it is first used."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'magnetite' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
