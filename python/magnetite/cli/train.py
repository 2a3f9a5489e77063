"""`magnetite train`: a recipe, run on data, sealed as an artifact."""

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from magnetite._core import FormatError
from magnetite.cli.recipes import about, asked, config_of, recipes, settings_of_the_loop
from magnetite.cli.shell import answer, examples, file_in, json_option, model_option, path_out
from magnetite.extras import need
from magnetite.lines import json_rows, text_lines

if TYPE_CHECKING:
    from magnetite.learn import Data, Method


_DATA = "JSONL or TSV with the columns that the recipe asks for, or a BEIR folder."


class _Recipes(click.Group):
    """One command a recipe, its flags made from the recipe's `Config` and the loop's `Settings`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(recipes())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in recipes():
            ctx.fail(f"no recipe {cmd_name!r}; there are {', '.join(recipes())}")
        return _command(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx  # click would build every recipe's command here
        with formatter.section("Recipes"):
            formatter.write_dl(list(recipes().items()))


@click.group(
    cls=_Recipes,
    subcommand_metavar="RECIPE --data FILE -o DIR ...",
    epilog=examples(
        "magnetite train pairs --help",
        "magnetite train pairs --data scifact -o mine --epochs 3 --batch 1024 --lr 1e-2",
    ),
)
def command() -> None:
    """Train an encoder by one of the recipes, and seal it as an artifact in DIR.

    The recipe's own --help lists its settings and the loop's. Beside DIR, DIR.run holds the log
    and the checkpoint that --resume goes on from.
    """


class _Sections(click.Command):
    """A command whose help shows the recipe's settings and the loop's apart."""

    def __init__(self, *args: Any, sections: dict[str, set[str]], **options: Any) -> None:  # noqa: ANN401 - click's
        super().__init__(*args, **options)
        self._sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        told = {name for names in self._sections.values() for name in names}
        own = {str(param.name) for param in self.get_params(ctx)} - told
        for title, names in {"Options": own, **self._sections}.items():
            rows = [p.get_help_record(ctx) for p in self.get_params(ctx) if p.name in names]
            if rows:
                with formatter.section(title):
                    formatter.write_dl([row for row in rows if row is not None])


def _command(recipe: str) -> click.Command:
    config = config_of(recipe)
    taken = {setting.name for setting in config}
    loop = [setting for setting in settings_of_the_loop() if setting.name not in taken]
    sections = {
        "The recipe's settings": taken,
        "The loop's settings": {setting.name for setting in loop},
    }
    epilog = "\b\n" + about(recipe).partition("\n")[2].strip()

    @click.command(recipe, cls=_Sections, sections=sections, epilog=epilog)
    @click.option("--data", type=file_in, required=True, help=_DATA)
    @click.option("--split", default="train", show_default=True, help="Of a BEIR folder.")
    @click.option("-o", "--out", type=path_out, required=True, help="The artifact to write.")
    @click.option("--resume", is_flag=True, help="Go on from the checkpoint of a stopped run.")
    @model_option
    @json_option
    def command(
        data: Path,
        split: str,
        out: Path,
        model: Path | None,
        *,
        resume: bool,
        as_json: bool,
        **given: float | str | None,
    ) -> None:
        chosen = {name: value for name, value in given.items() if value is not None}
        of_recipe = {s.name: chosen[s.name] for s in config if s.name in chosen}
        of_loop = {s.name: chosen[s.name] for s in loop if s.name in chosen}
        _train(recipe, data, split, out, model, of_recipe, of_loop, resume=resume, as_json=as_json)

    command.help = recipes()[recipe]
    command.params += [setting.option() for setting in (*config, *loop)]
    return command


def _train(
    recipe: str,
    data: Path,
    split: str,
    out: Path,
    model: Path | None,
    of_recipe: dict[str, Any],
    of_loop: dict[str, Any],
    *,
    resume: bool,
    as_json: bool,
) -> None:
    for package in ("torch", "onnx"):
        need(package, extra="export", purpose="training")
    import torch

    from magnetite import learn
    from magnetite.encode import Artifact
    from magnetite.encode.artifact import free_directory
    from magnetite.learn.export import export

    free_directory(out)
    if "precision" in of_loop:
        of_loop["precision"] = getattr(torch, of_loop["precision"])
    if "epochs" not in of_loop and "steps" not in of_loop:
        of_loop["epochs"] = 1
    beside = out.with_name(out.name + ".run")
    bar = sys.stderr.isatty()
    settings = learn.Settings(**of_loop, out=beside, resume=resume, progress=bar)
    method = _method(recipe, learn.load(model), of_recipe)
    examples = _examples(recipe, data, split)
    try:
        outcome = learn.train(method, examples, settings)
    except KeyError as error:
        said = str(error.args[0])
        if not said.startswith("no column") and said not in about(recipe):
            raise
        raise ValueError(f"{data} lacks what {recipe} asks for: {said}") from error
    sealed: dict[str, Path] = {}
    exports = method.exports()
    for name, module in exports.items():
        sealed[name] = out if len(exports) == 1 else out / name
        export(module, sealed[name])
    payload = {
        "out": {name: str(path) for name, path in sealed.items()},
        "fingerprint": {name: Artifact.load(path).fingerprint for name, path in sealed.items()},
        "steps": outcome.steps,
        "seconds": round(outcome.seconds, 2),
        "last_loss": outcome.losses[-1] if outcome.losses else None,
        "log": str(outcome.log),
    }
    said = (
        f"{outcome.steps:,} steps in {outcome.seconds:.1f} s; sealed in {out}; log: {outcome.log}"
    )
    answer(payload, said, as_json=as_json)


def _examples(recipe: str, path: Path, split: str) -> "Data":
    """Return the columns of the file that the recipe asks for; a column of numbers is a fact."""
    from magnetite.learn.data import read_beir, read_jsonl, read_lines, read_tsv

    if path.is_dir():
        return read_beir(path, split=split)
    columns = asked(recipe)
    name = path.name.removesuffix(".gz")
    if not name.endswith((".jsonl", ".tsv")):
        return read_lines(path, name=columns[0])
    first = _first_row(path, tabbed=name.endswith(".tsv"))
    at_hand = [column for column in columns if column in first]
    if not at_hand:
        wanted, got = ", ".join(columns), ", ".join(first) or "none"
        raise FormatError(f"{path}: {recipe} asks for the columns {wanted}; got {got}")
    numbers = [column for column in at_hand if isinstance(first[column], int | float)]
    texts = [column for column in at_hand if column not in numbers]
    read = read_tsv if name.endswith(".tsv") else read_jsonl
    return read(path, texts=texts, numbers=numbers)


def _first_row(path: Path, *, tabbed: bool) -> dict[str, Any]:
    if not tabbed:
        return next((row for _, row in json_rows(path)), {})
    rows = (line.split("\t") for _, line in text_lines(path))
    names, values = next(rows, []), next(rows, [])
    return dict(zip(names, map(_number_or_text, values), strict=False))


def _number_or_text(field: str) -> float | str:
    try:
        return float(field)
    except ValueError:
        return field


def _method(recipe: str, embedder: Any, of_recipe: dict[str, Any]) -> "Method":  # noqa: ANN401
    """Return the recipe's method: the one `Method` that its file defines."""
    from magnetite.learn import Method

    module = import_module(f"magnetite.learn.recipes.{recipe}")
    kinds = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, Method)
        and kind.__module__ == module.__name__
    ]
    if len(kinds) != 1:
        raise ValueError(f"{module.__file__}: expected one Method, got {len(kinds)}")
    method: Method = kinds[0](embedder, module.Config(**of_recipe))
    return method
