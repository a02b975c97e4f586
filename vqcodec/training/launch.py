"""The group of the processes that `torchrun` starts for one run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import torch
from torch import distributed

from vqcodec.errors import ModelError

_PATIENCE: Final = timedelta(hours=6)
"""How long a process waits for the others, such as while the leader decodes photos or validates; torchrun ends them all where one fails."""


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Joins the other processes of the run, where torchrun has started this one, and leaves them at the end of the block.

    Numbers on a CPU are exchanged by gloo, those on a GPU by NCCL. Each process of a machine has a GPU of its own.

    Raises:
        ModelError: There are fewer GPUs than processes on this machine.
    """
    if not (distributed.is_available() and distributed.is_torchelastic_launched()) or distributed.is_initialized():
        yield
        return
    if device.type == "cuda":
        number, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if number >= count:
            raise ModelError(f"{os.environ['LOCAL_WORLD_SIZE']} processes on a machine with {count} GPUs, expected one a GPU at most")
        torch.cuda.set_device(number)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield
    finally:
        distributed.destroy_process_group()
