"""What the base install leaves out, and which extra brings it."""

from importlib import import_module
from types import ModuleType


class MissingExtraError(ImportError):
    """A package of an extra is not installed."""


def need(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Return the imported `module`.

    Raises:
        MissingExtraError: It is not installed; the message names the extra that brings it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f'{purpose} needs {module}, which is not installed: pip install "magnetite[{extra}]"'
        ) from error
