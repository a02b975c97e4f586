"""Processes that train one network together: which part of a batch each has, and sums over all of them.

Each process has the whole network and a part of every batch. What it computes of its part is summed over all before anything is changed by
it, so all networks stay equal, and equal to that of a single process with the whole batch, up to the rounding of sums. Without other
processes every function here is that of a single one and costs nothing. Groups of processes are those of `torch.distributed`.

`DistributedDataParallel` is not used: a step goes back several times, through networks that learn side by side and of which a part of a
batch may leave some without a gradient, and it would take the mean over processes whatever the number of their images.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn

LEADER = 0
"""Number of the process that writes checkpoints and logs and tells how a run gets on."""


def num_ranks() -> int:
    """Returns the number of processes."""
    return int(distributed.get_world_size()) if distributed.is_available() and distributed.is_initialized() else 1


def this_rank() -> int:
    """Returns the number of this process, from 0."""
    return distributed.get_rank() if num_ranks() > 1 else LEADER


def is_leader() -> bool:
    """Returns whether this is the process that writes and tells."""
    return this_rank() == LEADER


def part_of(count: int, rank: int | None = None) -> slice:
    """Returns which of `count` images are those of a process, of this one by default.

    Raises:
        ValueError: There are fewer images than processes.
    """
    if count < num_ranks():
        raise ValueError(
            f"a batch of {count} cannot be shared out over {num_ranks()} processes, expected at least one crop or tile for each"
        )
    number = this_rank() if rank is None else rank
    return slice(count * number // num_ranks(), count * (number + 1) // num_ranks())


def share_of(count: int) -> float:
    """Returns the share of `count` images that are those of this process; the errors are those of `part_of`."""
    part = part_of(count)
    return int(part.stop - part.start) / count


def sum_over_ranks(values: Tensor) -> Tensor:
    """Sums a tensor, in place, over all processes and returns it. All processes must call it in the same order, with the same shape."""
    if num_ranks() > 1:
        distributed.all_reduce(values)
    return values


def mean_over_ranks(values: Tensor) -> Tensor:
    """Returns the mean, a scalar, of the values [N] that all processes have, of which each may have another number."""
    if num_ranks() == 1:
        return values.mean()
    sums = sum_over_ranks(torch.stack([values.double().sum(), values.new_tensor(len(values), dtype=torch.float64)]))
    return sums[0] / sums[1]


def least_over_ranks(value: Tensor) -> int:
    """Returns the least of the whole numbers, int64 scalars, that the processes have."""
    if num_ranks() == 1:
        return int(value)
    least = value.clone()
    distributed.all_reduce(least, distributed.ReduceOp.MIN)
    return int(least)


def gathered(values: Tensor, num_images: int) -> Tensor:
    """Returns the rows of all processes in the order of their images.

    Args:
        values: [n, ...], rows of this process, as many of each of its images.
        num_images: number of images of all processes.
    """
    if num_ranks() == 1:
        return values
    sizes = [part.stop - part.start for part in (part_of(num_images, rank) for rank in range(num_ranks()))]
    rows_each = len(values) // sizes[this_rank()]
    padded = values.new_zeros((rows_each * max(sizes), *values.shape[1:]))
    padded[: len(values)] = values
    parts = [torch.empty_like(padded) for _ in sizes]
    distributed.all_gather(parts, padded)
    return torch.cat([part[: rows_each * size] for part, size in zip(parts, sizes, strict=True)])


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Sums the gradients of parameters over all processes, in one transfer.

    A parameter that has a gradient in no process has none afterwards, as with a single process; where only others have one, it counts as 0.
    """
    if num_ranks() == 1:
        return
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    has = [parameter.grad is not None for parameter in learning]
    grads = [torch.zeros_like(parameter) if parameter.grad is None else parameter.grad for parameter in learning]
    flags = torch.tensor(has, dtype=torch.float32, device=learning[0].device)
    summed = sum_over_ranks(torch.cat([*(grad.float().flatten() for grad in grads), flags]))
    *sums, flags = torch.split(summed, [*(grad.numel() for grad in grads), len(flags)])
    anywhere = has if all(has) else flags.bool().tolist()
    for parameter, grad, of_all, is_anywhere in zip(learning, grads, sums, anywhere, strict=True):
        parameter.grad = grad.copy_(of_all.view_as(grad)) if is_anywhere else None


def norm_over_ranks(values: Tensor) -> Tensor:
    """Returns the Euclidean norm, a scalar, of the values of all processes."""
    norm = values.norm()
    return norm if num_ranks() == 1 else sum_over_ranks(norm.square()).sqrt()


@torch.no_grad()
def equalise(networks: Iterable[nn.Module]) -> None:
    """Gives all processes the weights and buffers of the leader's networks."""
    if num_ranks() > 1:
        for tensor in (tensor for network in networks for tensor in (*network.parameters(), *network.buffers())):
            distributed.broadcast(tensor, LEADER)


def leaders(value: float) -> float:
    """Returns the value that the leader has; the others wait for it."""
    if num_ranks() == 1:
        return value
    sent = torch.tensor([value], dtype=torch.float64)
    distributed.broadcast(sent, LEADER)
    return float(sent)


def leaders_time() -> float:
    """Returns the leader's clock in seconds, by which all processes decide alike."""
    return leaders(time.monotonic())


@contextmanager
def leader_first() -> Iterator[None]:
    """Lets the other processes into the block when the leader has left it, so that they find the files that it has written."""
    if not is_leader():
        leaders(0.0)
    try:
        yield
    finally:
        if is_leader():
            leaders(0.0)
