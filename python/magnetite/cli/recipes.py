"""The recipes and their settings, read from their source: no torch is needed to list them."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

_LEARN = Path(__file__).parents[1] / "learn"
_TYPES: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}
_PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Setting:
    """One field of a dataclass that a flag can set."""

    name: str
    kind: click.ParamType[Any] | type
    default: Any
    said: str

    def option(self) -> click.Option:
        """Return the flag."""
        flag = "--" + self.name.replace("_", "-")
        if self.kind is bool:
            flag = f"{flag}/--no-{flag[2:]}"
        help_text = self.said if self.default is None else f"{self.said}  [default: {self.default}]"
        return click.Option([flag], type=self.kind, default=None, help=help_text.strip())


def recipes() -> dict[str, str]:
    """Return what each recipe in the folder says it is, by name."""
    paths = sorted(_LEARN.glob("recipes/*.py"))
    return {path.stem: _first_line(path) for path in paths if not path.stem.startswith("_")}


def config_of(recipe: str) -> list[Setting]:
    """Return the settings of a recipe."""
    return _fields(_LEARN / "recipes" / f"{recipe}.py", "Config")


def settings_of_the_loop() -> list[Setting]:
    """Return the settings of the training loop; its folders are the verb's own business."""
    found = _fields(_LEARN / "train" / "settings.py", "Settings")
    return [setting for setting in found if setting.name not in ("out", "resume", "progress")]


def about(recipe: str) -> str:
    """Return the whole of what a recipe says of itself."""
    return ast.get_docstring(_tree(_LEARN / "recipes" / f"{recipe}.py")) or ""


def asked(recipe: str) -> list[str]:
    """Return the columns that a recipe asks for: the names between backticks under `Asks:`.

    Tables of numbers, marked by their shape, come from code and not from a file.
    """
    after = about(recipe).partition("Asks:")[2]
    paragraph = re.split(r"\n[A-Z]\w+:", after, maxsplit=1)[0]
    return list(dict.fromkeys(re.findall(r"`(\w+)`(?! \[n, )", paragraph)))


def _first_line(path: Path) -> str:
    return (ast.get_docstring(_tree(path)) or "").partition("\n")[0]


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _fields(path: Path, name: str) -> list[Setting]:
    lines = path.read_text(encoding="utf-8").splitlines()
    found = []
    for node in _tree(path).body:
        if not isinstance(node, ast.ClassDef) or node.name != name:
            continue
        for field in node.body:
            setting = _setting(field, lines)
            if setting is not None:
                found.append(setting)
    return found


def _setting(field: ast.stmt, lines: list[str]) -> Setting | None:
    """Return the field as a setting, or None where no flag could give its value."""
    if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
        return None
    said = lines[field.lineno - 1].partition("  # ")[2]
    declared = ast.unparse(field.annotation)
    if declared == "torch.dtype":
        return Setting(field.target.id, click.Choice(_PRECISIONS), "float32", said)
    kind = _TYPES.get(declared.removesuffix(" | None"))
    if kind is None or field.value is None:
        return None
    try:
        default = ast.literal_eval(field.value)
    except ValueError:
        return None
    return Setting(field.target.id, kind, default, said)
