"""Run every script of this folder, one after the other: `python -m benches.python`."""

import runpy
from pathlib import Path

for script in sorted(Path(__file__).parent.glob("[a-z]*.py")):
    print(f"== {script.stem}")
    runpy.run_path(str(script), run_name="__main__")
