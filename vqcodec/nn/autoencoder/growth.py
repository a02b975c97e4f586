"""Growth of a trained network into a deeper or wider one that computes the same, from which training goes on.

New residual blocks start as the identity. New channels are read by nothing that was there before, and what they hold is as random as at
any start, so that the weights that are to read them have gradients from the first step on.

Source: Chen, Goodfellow, Shlens 2016, "Net2Net: Accelerating Learning via Knowledge Transfer", section 2; here new channels start at random
and unread, not as copies.
"""

import dataclasses
from collections.abc import Mapping
from typing import Final

from torch import Tensor

from vqcodec.nn.configs import VQVAEConfig

_GROWING: Final = frozenset(
    (
        *("channels_top", "blocks_encoder", "blocks_top", "blocks_bottom", "blocks_decoder"),
        *("extra_blocks_top_encoder", "extra_blocks_top_decoder", "extra_blocks_decoder"),
    )
)
"""Keys of a network's shape that may grow."""
_WITHOUT_WEIGHTS: Final = frozenset(("blocks_preview", "ema_decay"))
"""Keys that change the shape of no weight."""


def check_growth(trained: VQVAEConfig, wanted: VQVAEConfig) -> None:
    """Checks that one network can grow into another. One network can be taken for another with other `blocks_preview` and `ema_decay`.

    Raises:
        ValueError: It cannot. The message names the first key that stands against it.
    """
    for item in dataclasses.fields(VQVAEConfig):
        before, after = getattr(trained, item.name), getattr(wanted, item.name)
        may_differ = item.name in _WITHOUT_WEIGHTS or (item.name == "extra_block" and not _has_extra_blocks(trained))
        if before == after or may_differ or (item.name in _GROWING and before < after):
            continue
        expected = f"at least {before}" if item.name in _GROWING else f"{before}"
        raise ValueError(f"{item.name} is {after}, expected {expected}, as the model has it")


def grown_state(trained: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a state dict of a larger network that computes what the smaller one does.

    Args:
        trained: state dict of the smaller network.
        fresh: state dict of the larger one, newly made, under the same names.
    """
    return {key: _grown(trained[key], tensor) if key in trained else tensor for key, tensor in fresh.items()}


def _grown(trained: Tensor, fresh: Tensor) -> Tensor:
    """Returns a weight [out, in, ...], bias or buffer in the larger shape: what was there reads nothing of what is new."""
    if trained.shape == fresh.shape:
        return trained
    grown, outputs = fresh.clone(), len(trained)
    grown[:outputs] = 0
    grown[tuple(slice(side) for side in trained.shape)] = trained
    return grown


def _has_extra_blocks(config: VQVAEConfig) -> bool:
    return any(getattr(config, key) for key in _GROWING if key.startswith("extra_"))
