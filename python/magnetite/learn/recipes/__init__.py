"""One file a published method; the folder is the registry.

A recipe module holds a docstring (Paper, Asks, Settings, Differs, Tags), a frozen `Config` with the
paper's values, and one `Method`, made by `Method(embedder, config)`.
"""

import inspect
import pkgutil
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from magnetite.learn.method import Method


@dataclass(frozen=True)
class Recipe:
    """A recipe found in the folder.

    Attributes:
        name: Name of its file.
        about: Its docstring.
        config: Its `Config` class.
        method: Its `Method` class, called with an embedder and a config.
    """

    name: str
    about: str
    config: Any
    method: Any


def names() -> list[str]:
    """Return the names of all recipes, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> Recipe:
    """Return a recipe by the name of its file.

    Raises:
        ValueError: If there is none, naming those there are.
    """
    if name not in names():
        raise ValueError(f"no recipe {name!r}; there are: {', '.join(names())}")
    module = import_module(f"{__name__}.{name}")
    methods = [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Method) and kind.__module__ == module.__name__
    ]
    if len(methods) != 1:
        raise TypeError(f"recipe {name!r} must define one Method; it defines {len(methods)}")
    return Recipe(name, inspect.getdoc(module) or "", module.Config, methods[0])
