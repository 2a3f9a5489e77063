"""What every verb shares: its options, how it answers, and where its model comes from."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from magnetite.encode import Encoder

BUILT_IN = "built-in"

_Command = TypeVar("_Command", bound=Callable[..., Any])

file_in = click.Path(exists=True, path_type=Path)
path_out = click.Path(path_type=Path)


def examples(*lines: str) -> str:
    """Return the end of a verb's help; the first character keeps click from joining the lines."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def json_option(command: _Command) -> _Command:
    """Add `--json`."""
    said = "Answer in JSON on standard output."
    return click.option("--json", "as_json", is_flag=True, help=said)(command)


def threads_option(command: _Command) -> _Command:
    """Add `--threads`."""
    said = "CPU threads [default: MAGNETITE_NUM_THREADS, else all]."
    return click.option("--threads", type=click.IntRange(min=1), help=said)(command)


def model_option(command: _Command) -> _Command:
    """Add `--model`."""
    said = "Artifact folder [default: the built-in encoder]."
    return click.option("-m", "--model", type=file_in, help=said)(command)


def answer(payload: object, text: str, *, as_json: bool) -> None:
    """Print the payload as JSON or the text."""
    click.echo(json.dumps(payload, ensure_ascii=False, indent=2) if as_json else text)


def load_encoder(model: Path | None, threads: int | None) -> "Encoder":
    """Return the encoder of an artifact folder, or the built-in one."""
    from magnetite.encode import Encoder

    return Encoder.load(model, threads=threads)


def model_name(model: Path | None) -> str:
    """Return what a user calls the model."""
    return BUILT_IN if model is None else str(model)
