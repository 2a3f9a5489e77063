"""The wheel alone, as users install it: base dependencies, no torch, an empty environment."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEBIBYTE = 1 << 20

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

MAIN_JOB = """
import json, sys, time
start = time.process_time()  # what it costs, however busy the machine is
import magnetite
took = time.process_time() - start
from magnetite import Encoder, Index
texts = ["Iron rusts in wet air.", "A compass needle points north.", "Bread needs flour and yeast."]
encoder = Encoder.load()
index = Index.build(encoder.encode(texts), ids=["iron", "compass", "bread"], metric="dot")
hits = index.search(encoder.encode(["baking bread with yeast", "which way is north"]), k=1)
print(json.dumps({
    "import_s": took,
    "found": [row[0] for row in hits.ids.tolist()],
    "torch": any(name.split(".")[0] in ("torch", "transformers") for name in sys.modules),
    "file": magnetite.__file__,
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    maturin = Path(sys.executable).with_name("maturin")
    subprocess.run([maturin, "build", "--release", "--quiet", "--out", out], cwd=ROOT, check=True)
    [built] = out.glob("*.whl")
    return built


def pythons() -> list[str]:
    """Every supported CPython that is found here, each by its path."""
    names = [f"python3.{minor}" for minor in (11, 12, 13, 14)]
    return [path for name in names if (path := shutil.which(name)) is not None and works(path)]


def works(path: str) -> bool:
    """Whether it runs; a version manager's stand-in for a version it lacks does not."""
    return subprocess.run([path, "-c", ""], capture_output=True).returncode == 0


def test_the_wheel_without_the_model_is_under_15_mb(wheel):
    model = ROOT / "python" / "magnetite" / "encode" / "builtin" / "model.safetensors"
    assert wheel.stat().st_size - model.stat().st_size < 15 * MEBIBYTE
    assert "abi3" in wheel.name


@pytest.mark.parametrize("python", pythons())
def test_the_main_job_in_an_empty_environment(wheel, tmp_path, python):
    uv = Path(sys.executable).with_name("uv")
    venv = tmp_path / "venv"
    subprocess.run([uv, "venv", "--quiet", "--python", python, venv], check=True)
    inside = venv / "bin" / "python"
    install = [uv, "pip", "install", "--quiet", "--python", inside, wheel]
    subprocess.run(install, check=True, cwd=tmp_path)
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    clean.pop("PYTHONDONTWRITEBYTECODE", None)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*arguments], capture_output=True, text=True, cwd=tmp_path, env=clean)

    assert run(inside, "-c", "import torch").returncode != 0
    found = [json.loads(run(inside, "-c", MAIN_JOB).stdout) for _ in range(3)]
    assert found[0]["found"] == ["bread", "compass"]
    assert not found[0]["torch"]
    assert Path(found[0]["file"]).is_relative_to(venv)
    assert min(one["import_s"] for one in found) < 0.3  # the first compiles to bytecode
    said = run(venv / "bin" / "magnetite", "eval", "--help")
    assert said.returncode == 0, said.stderr
    judged = run(venv / "bin" / "magnetite", "eval", tmp_path)
    assert judged.returncode != 0
    assert "magnetite[eval]" in judged.stderr
