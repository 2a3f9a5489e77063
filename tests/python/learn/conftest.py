"""What the tests of learning share."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # for `import cases`

torch.set_num_threads(1)  # small tensors would wait for each other


@pytest.fixture(scope="session")
def two_processes(tmp_path_factory) -> dict:
    """What became of every case when two processes trained it: losses and state by name."""
    here = Path(__file__).parent
    out = tmp_path_factory.mktemp("two") / "found.pt"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", str(here / "two_processes.py"), str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=280)
    assert done.returncode == 0, done.stderr[-4000:]
    return torch.load(out, weights_only=True)
