"""How many threads networks work with. Imports no torch."""

import os
import sys


def num_threads() -> int:
    """Returns the number of threads: that of OMP_NUM_THREADS where it is set, else that of the cores that this process may use."""
    named = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if named.isdecimal() and int(named):
        return int(named)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_num_threads(threads: int) -> None:
    """Sets the number of threads of networks that are made after this."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)
