"""Search by a judge at equal calls, replayed on stored scores: what `magnetite cur eval` runs.

    python benches/python/cur.py BLOCK.npz ... [--plot FILE.svg] [--json FILE]

The same options; see `magnetite cur eval --help`.
"""

import sys

from magnetite.cli import main

if __name__ == "__main__":
    main(["cur", "eval", *sys.argv[1:]])
