"""Integer frequencies as tensors, on any device: the rule of `vqcodec.coding.frequencies` in operations whose results are exact."""

from functools import cache

import torch
from torch import Tensor

from vqcodec.coding.frequencies import TOTAL, WEIGHTS


def shares_of(logits: Tensor) -> Tensor:
    """Returns the shares float32 [M, K] of `shares_from_logits` for logits [M, K], on their device."""
    largest = logits.argmax(dim=1, keepdim=True)
    below = (logits.gather(1, largest) - logits).clamp_max_(len(WEIGHTS) - 1).int()
    weights = _weights(logits.device).index_select(0, below.flatten()).view(below.shape)
    total = weights.sum(dim=1, keepdim=True)
    spare = TOTAL - logits.shape[1]
    shares = weights.mul_(spare).div_(total).floor_().float()
    # The largest logit has the largest frequency.
    return shares.scatter_add_(1, largest, spare - shares.sum(dim=1, keepdim=True))


def ends_of(logits: Tensor) -> Tensor:
    """Returns where the slots of each code end, int32 [M, K]: the sums of its frequency and of those of all codes before it."""
    return shares_of(logits).int().add_(1).cumsum(dim=1, dtype=torch.int32)


def slots_of(ends: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the first slots and the frequencies of codes [M], int64 [M] each, given `ends_of` their logits."""
    own = ends.gather(1, codes[:, None])[:, 0].long()
    first = ends.gather(1, (codes - 1).clamp_min(0)[:, None])[:, 0] * (codes > 0)
    return first.long(), own - first


@cache
def _weights(device: torch.device) -> Tensor:
    """Returns `WEIGHTS` as float64, in which the products and quotients of shares are exact."""
    return torch.from_numpy(WEIGHTS).double().to(device)
