"""What importing the package may and may not do."""

import subprocess
import sys

import magnetite


def test_import_brings_neither_torch_nor_onnxruntime():
    heavy = (
        "import sys, magnetite; print({'torch', 'onnxruntime', 'transformers'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"


def test_every_public_name_can_be_had():
    for name in magnetite.__all__:
        assert getattr(magnetite, name) is not None
