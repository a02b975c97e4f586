"""The layers of a prior as compiled kernels number and take them (`prior.h`)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from vqcodec.format.octaves import LOGIT_BITS
from vqcodec.nn.configs import FIRST_COLUMNS, FIRST_ROWS, PriorConfig
from vqcodec.nn.prior.number_formats import ACTIVATION_BITS, STREAM_BITS

_TO_ACTIVATIONS: Final = STREAM_BITS - ACTIVATION_BITS


@dataclass(frozen=True)
class KernelLayer:
    """A layer as the kernels number and take it (`prior_layer` in `prior.c`)."""

    number: int
    name: str
    shape: tuple[int, ...]
    by_columns: bool = False
    shift: int = 0
    gates: bool = False

    @property
    def bias_bits(self) -> int:
        """Fractional bits of the bias."""
        return LOGIT_BITS if self.name == "head" else STREAM_BITS


def kernel_layers(config: PriorConfig) -> Iterator[KernelLayer]:
    """Yields the layers in the order of their numbers (`prior.h`)."""
    channels, embedding, condition = config.channels, config.embedding_dim, config.condition_channels
    width, maps = config.heads * config.head_dim, config.earlier_maps
    yield KernelLayer(0, "first", (channels, 2 * FIRST_ROWS + 1, FIRST_COLUMNS, embedding), by_columns=True)
    yield KernelLayer(1, "head", (config.codebook_size, channels))
    if config.heads:
        yield KernelLayer(2, "attention.query_key_value", (3 * width, channels), shift=_TO_ACTIVATIONS)
        yield KernelLayer(3, "attention.project", (channels, width))
    if maps:
        yield KernelLayer(4, "condition.first", (condition, 3, 3, embedding))
        yield KernelLayer(5, "condition.up", (4 * condition, condition))
    for n in range(config.blocks):
        conv = (2 * channels, 3, config.columns, channels)
        yield KernelLayer(6 + 3 * n, f"blocks.{n}.conv", conv, by_columns=True, shift=_TO_ACTIVATIONS, gates=True)
        yield KernelLayer(7 + 3 * n, f"blocks.{n}.project", (channels, channels))
        if maps:
            yield KernelLayer(8 + 3 * n, f"blocks.{n}.condition", (2 * channels, condition))
    if maps:
        number = 6 + 3 * config.blocks
        for kind, count in zip(("coarse", "fine"), config.condition_blocks, strict=True):
            for n in range(count):
                yield KernelLayer(number, f"condition.{kind}.{n}.conv", (condition, 3, 3, condition), shift=_TO_ACTIVATIONS)
                yield KernelLayer(number + 1, f"condition.{kind}.{n}.project", (condition, condition))
                number += 2
        for n in range(maps - 1):
            yield KernelLayer(number + n, f"condition.others.{n}", (condition, 3, 3, embedding))
