"""Vector search beside other libraries at equal recall: what `magnetite bench dense` runs.

    python benches/python/dense.py [--vectors FILE.npy --queries FILE.npy] [--json FILE]

The same options; see `magnetite bench dense --help`.
"""

import sys

from magnetite.cli import main

if __name__ == "__main__":
    main(["bench", "dense", *sys.argv[1:]])
