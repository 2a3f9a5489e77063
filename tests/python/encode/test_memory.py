"""Memory is bounded by the grid of lengths, not by how many batches were run."""

import subprocess
import sys
from pathlib import Path

import pytest

VARIED = """
import random, sys
import numpy as np
from magnetite.encode import Encoder, engines

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])

draw = random.Random(0)
encoder = Encoder.load(sys.argv[1], threads=2)
batches, after_100 = 0, None

def heard(done):
    global batches
    batches += 1

while batches < 10_000:
    texts = ["x" * draw.randrange(1, 60) + " iron" * draw.randrange(4) for _ in range(1500)]
    if draw.random() < 0.2:
        texts = texts[: draw.randrange(1, 30)]
    out = np.empty((len(texts), encoder.dim), np.float32)
    encoder.engine.encode([engines.Window(texts, out)], draw.choice([64, 128, 512]), heard)
    if after_100 is None and batches >= 100:
        after_100 = resident()
print(resident() / after_100)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc here")
def test_ten_thousand_varied_batches_take_the_memory_of_a_hundred(tiny_artifact):
    command = [sys.executable, "-c", VARIED, str(tiny_artifact)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    assert float(done.stdout) <= 1.2
