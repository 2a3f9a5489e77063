"""Search by a judge at equal calls, replayed on stored scores: what `magnetite cur eval` runs.

    python benches/python/cur.py BLOCK.npz ... [--plot FILE.svg] [--json FILE]

The same options; see `magnetite cur eval --help`. `judges.py` makes blocks.
"""

import sys

from magnetite.cli import main

if __name__ == "__main__":
    if len(sys.argv) == 1:
        print("no blocks given: benches/python/judges.py trains judges and stores their scores")
    else:
        main(["cur", "eval", *sys.argv[1:]])
