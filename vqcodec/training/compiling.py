"""Compilation of the blocks that networks repeat, so that a GPU does in one kernel what lies between two products.

Blocks are compiled and not whole networks: all blocks of a kind share what was compiled, which takes seconds instead of minutes.
"""

from collections.abc import Iterable
from typing import Final

import torch
from torch import nn

from vqcodec.nn.autoencoder.residual import DepthwiseBlock, ResidualBlock
from vqcodec.nn.prior.pixelsnail import ConditionBlock, GatedBlock, PixelSnail

_VARIANTS: Final = 64
"""Most variants of a block, by shapes and kinds of numbers, that are compiled; blocks of further ones run as they are."""


def compile_blocks(networks: Iterable[nn.Module], device: torch.device, backend: str = "inductor") -> str | None:
    """Lets the blocks of networks be compiled where they are first called, if a trial shows that this works here.

    The blocks of priors are compiled for any size, since the number of crops that have a map differs from step to step.

    Args:
        networks: networks on the device.
        device: the device.
        backend: name of torch's compiler.

    Returns:
        What went wrong in the trial, in one line; the networks are then left as they are. None where all is well.
    """
    trial = ResidualBlock(8).to(device)
    try:
        trial.compile(backend=backend)
        trial(torch.zeros(1, 8, 8, 8, device=device)).sum().backward()
    except Exception as error:  # noqa: BLE001 (compilers, and what they call, raise almost anything)
        return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    torch._dynamo.config.recompile_limit = _VARIANTS
    torch._dynamo.config.suppress_errors = True  # what cannot be compiled later on runs as it is
    for module in (module for network in networks for module in network.modules()):
        if isinstance(module, ResidualBlock | DepthwiseBlock):
            module.compile(backend=backend)
        elif isinstance(module, GatedBlock | ConditionBlock):
            module.compile(backend=backend, dynamic=True)
        elif isinstance(module, PixelSnail):
            module.logits = torch.compile(module.logits, backend=backend, dynamic=True)  # type: ignore[method-assign]
    return None
