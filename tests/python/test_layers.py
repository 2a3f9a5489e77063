"""The map of docs/architecture.md, held: who may import whom, where `unsafe` and rayon live."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "rust" / "core" / "src"
PACKAGE = ROOT / "python" / "magnetite"

BASE = {"error", "matrix"}
CORE_MAY_USE = {
    "error": set(),
    "cancel": {"error"},  # it returns the error that it is
    "rng": set(),
    "topk": set(),
    "matrix": {"error"},
    "parallel": {"cancel", "error"},
    "kernels": {"error", "matrix"},
    "oracle": {"matrix"},
    "cluster": BASE | {"cancel", "kernels", "parallel", "rng", "topk"},
    "quantize": BASE | {"cancel", "cluster", "kernels", "parallel", "rng"},
    "store": BASE | {"cancel", "parallel"},
    "dense": BASE
    | {"cancel", "cluster", "kernels", "parallel", "quantize", "rng", "store", "topk"},
    "cur": BASE | {"cancel", "dense", "parallel", "rng", "topk"},
    "text": BASE | {"cancel", "parallel"},
    "tensors": BASE,
    "static_encoder": BASE | {"cancel", "kernels", "parallel", "store", "tensors", "text"},
}
LEARN_ORDER = [  # a later row may import an earlier one, and its own
    {"types", "distributed", "randomness"},
    {"pairs", "objectives", "views", "memory"},
    {"encoders"},
    {"data"},
    {"method"},
    {"recipes"},
]


def core_part(path: Path) -> str:
    return path.relative_to(CORE).parts[0].removesuffix(".rs")


def core_files() -> list[Path]:
    return sorted(path for path in CORE.rglob("*.rs") if path.name != "lib.rs")


def code(path: Path) -> str:
    """The file without its comments."""
    return re.sub(r"//.*", "", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", core_files(), ids=lambda p: str(p.relative_to(CORE)))
def test_rust_parts_import_only_what_is_below_them(path):
    part = core_part(path)
    assert part in CORE_MAY_USE, f"{part} is new: say here what it may use"
    reexports = {
        "Cancel": "cancel",
        "Error": "error",
        "Result": "error",
        "Matrix": "matrix",
        "MatrixRef": "matrix",
        "Threads": "parallel",
    }
    used = set()
    for tail in re.findall(r"\bcrate::(\{[^;]*?\};|\w+)", code(path)):
        # `crate::{a::{b, c}, d}`: the names at depth one.
        depth, name, names = 0, "", []
        for char in tail.strip(";") if tail.startswith("{") else "{" + tail + "}":
            if char == "{":
                depth += 1
            elif char in ",}" and depth == 1:
                names.append(name.split("::")[0].strip())
                name = ""
            elif char == "}" or (char == "," and depth > 1):
                pass
            elif depth == 1:
                name += char
            depth -= char == "}"
        used |= {reexports.get(name, name) for name in names if name}
    assert used - {part} <= CORE_MAY_USE[part]


def test_unsafe_lives_in_kernels_and_the_map_alone():
    homes = {path for path in core_files() if re.search(r"\bunsafe\b", code(path))}
    allowed = {path for path in core_files() if core_part(path) == "kernels"}
    assert homes <= allowed | {CORE / "store" / "map.rs"}


def test_rayon_is_named_in_one_file():
    assert [p.name for p in core_files() if "rayon::" in code(p)] == ["parallel.rs"]


def imports(path: Path, *, everywhere: bool) -> set[str]:
    """Modules a file imports; without `everywhere`, only when it is itself imported."""
    found = set()

    def visit(node: ast.AST) -> None:
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if typing_only or (isinstance(node, ast.FunctionDef) and not everywhere):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def learn_files() -> list[Path]:
    return sorted((PACKAGE / "learn").rglob("*.py"))


def test_transformers_is_imported_in_one_file():
    homes = [
        path.relative_to(PACKAGE).as_posix()
        for path in sorted(PACKAGE.rglob("*.py"))
        if any(name.split(".")[0] == "transformers" for name in imports(path, everywhere=True))
    ]
    assert set(homes) <= {"learn/encoders/backbone.py"}


@pytest.mark.parametrize("path", learn_files(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_learning_parts_import_only_what_is_below_them(path):
    ranks = {part: rank for rank, parts in enumerate(LEARN_ORDER) for part in parts}
    part = path.relative_to(PACKAGE / "learn").parts[0].removesuffix(".py")
    if part not in ranks:
        return  # train, export, load and the package itself stand above the parts
    prefix = "magnetite.learn."
    names = {n for n in imports(path, everywhere=False) if n.startswith(prefix)}
    used = {name.removeprefix(prefix).split(".")[0] for name in names}
    assert {other for other in used if ranks.get(other, len(ranks)) > ranks[part]} == set()


def parts_of(path: Path) -> set[str]:
    """The parts of the package that a file imports at any time."""
    names = {name for name in imports(path, everywhere=True) if name.startswith("magnetite.")}
    return {name.split(".")[1] for name in names}


def test_the_server_stands_on_encoders_and_collections_alone():
    used = set().union(*(parts_of(path) for path in (PACKAGE / "serve").rglob("*.py")))
    assert used - {"serve", "__version__"} <= {"_core", "encode", "index", "text"}
    above = {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py")
             if "serve" in parts_of(path)}  # fmt: skip
    assert above <= {"serve", "cli", "bench"}


def recipes() -> list[Path]:
    return [p for p in learn_files() if p.parent.name == "recipes" and p.name != "__init__.py"]


@pytest.mark.parametrize("path", recipes(), ids=lambda p: p.stem)
def test_no_recipe_imports_another_or_the_loop(path):
    forbidden = ("magnetite.learn.recipes", "magnetite.learn.train")
    assert not {n for n in imports(path, everywhere=True) if n.startswith(forbidden)}


@pytest.mark.parametrize("path", recipes(), ids=lambda p: p.stem)
def test_a_recipe_stays_within_120_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 120


def test_serving_imports_no_torch():
    serving = sorted(
        p.parent.name for p in PACKAGE.glob("*/__init__.py") if p.parent.name != "learn"
    )
    serving += ["serve.application", "serve.run", "serve.search"]  # which the package imports late
    modules = ", ".join(f"magnetite.{name}" for name in serving)
    script = f"import sys, {modules}; print({{'torch', 'transformers'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("set()", 0), done.stderr
