"""Run by torchrun: trains every case on all processes, rank 0 writes what became of them."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
import cases

from magnetite.learn import distributed

if __name__ == "__main__":
    torch.set_num_threads(1)
    found = {}
    for name in cases.names():
        outcome, method = cases.case(name).train(chunk=3)
        found[name] = {"losses": outcome.losses, "state": method.state_dict()}
    outcome, method = cases.train_mixed()
    found["mixed"] = {"losses": outcome.losses, "state": method.state_dict()}
    folder = Path(sys.argv[1]).parent / "run"
    cases.train_mixed(out=folder, interrupt_at=2)
    outcome, method = cases.train_mixed(out=folder, resume=True)
    found["resumed"] = {"losses": outcome.losses, "state": method.state_dict()}
    if distributed.rank() == 0:
        torch.save(found, sys.argv[1])
    torch.distributed.destroy_process_group()
