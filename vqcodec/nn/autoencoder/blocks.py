"""Large images to codes block by block, so that memory does not grow with the image but for codes and 8-bit pixels.

A block is cut out with a margin as wide as the network's receptive field reaches, and only its inside is kept: the codes are those of the
whole image in one pass, but for the rounding of floating-point sums. An image of one block goes through in one pass. Blocks consist of
whole tile groups, so that each block's codes can be chosen as soon as the network is through with it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from vqcodec.format.container import GROUP_PX
from vqcodec.nn.autoencoder.quantizer import ChooseMap, ChosenMap, choose_nearest
from vqcodec.nn.autoencoder.spans import BLOCK_PX, ROWS_PX, Span, spans
from vqcodec.nn.autoencoder.torch_painter import autocast_on
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.nn.configs import PATCH_BOTTOM, PATCH_TOP
from vqcodec.nn.memory import give_back_memory
from vqcodec.nn.progress import OnProgress, no_progress

ChooseAt = Callable[[slice, slice], ChooseMap]
"""Function that gives the choice for a block, by its rows and columns in places of the top map."""


class Pixels(Protocol):
    """Images uint8 [N, 3, H, W] on the CPU, H and W multiples of 8: a tensor, or something that makes parts of it as they are needed."""

    @property
    def shape(self) -> Sequence[int]:
        """N, 3, H and W."""

    def __getitem__(self, place: tuple[slice, slice, slice, slice]) -> Tensor:
        """Returns a part."""


def nearest_at(rows: slice, columns: slice) -> ChooseMap:  # noqa: ARG001 (a ChooseAt)
    """Chooses the nearest codes everywhere."""
    return choose_nearest


def encode_in_blocks(
    network: VQVAE,
    pixels: Pixels,
    num_maps: int | None = None,
    *,
    choose_at: ChooseAt = nearest_at,
    block: int = BLOCK_PX,
    on_progress: OnProgress = no_progress,
) -> list[ChosenMap]:
    """Encodes 8-bit images into index maps.

    Args:
        network: network in evaluation mode; blocks are moved to its device one by one.
        pixels: uint8 [N, 3, H, W].
        num_maps: number of maps to compute, from the top on; all by default.
        choose_at: function that gives what chooses the maps of a block, given the maps before; by default it takes the nearest codes.
        block: longest side of a block in pixels, a multiple of 512.
        on_progress: function that is told how far the work is.

    Returns:
        The maps, top first, their indices [N, h, w] on the CPU.
    """
    _, _, height, width = pixels.shape
    count = network.config.num_maps if num_maps is None else num_maps
    margin = network.config.encoder_margin_px
    blocks = [
        (rows, columns)
        for rows in spans(slice(0, height), height, block, margin, GROUP_PX)
        for columns in spans(slice(0, width), width, block, margin, GROUP_PX)
    ]
    device = next(network.parameters()).device
    steps = len(blocks) * (1 if count == 1 else 1 + count)

    def strips(rows: Span, columns: Span) -> Iterator[tuple[Span, Span]]:
        is_one = len(blocks) == 1
        for strip in spans(rows.inner, height, block if is_one else ROWS_PX, margin, PATCH_TOP):
            if not is_one:
                give_back_memory()
            yield strip, columns

    def hidden(rows: Span, columns: Span) -> tuple[Tensor, Tensor]:
        if not known or known[0][0] != (rows, columns):
            known.clear()
            x = pixels[:, :, rows.outer, columns.outer].to(device).float().div_(127.5).sub_(1.0)
            x = x.contiguous(memory_format=torch.channels_last)
            known.append(((rows, columns), (x, network.hidden(x))))
        return known[0][1]

    known: list[tuple[tuple[Span, Span], tuple[Tensor, Tensor]]] = []
    tops: list[ChosenMap] = []
    for number, (rows, columns) in enumerate(blocks):
        parts = []
        for strip in strips(rows, columns):
            with autocast_on(device):
                z_e = network.top_encoder(*hidden(*strip))
            parts.append(_kept(z_e, strip, PATCH_TOP))
        places = rows.scaled(PATCH_TOP).inner, columns.scaled(PATCH_TOP).inner
        tops += network.quantizer_top.quantize(torch.cat(parts, dim=2), choose=choose_at(*places))
        on_progress((number + 1) / steps)
    maps = [_joined(tops, blocks, PATCH_TOP)]
    if count > 1:
        others: list[list[ChosenMap]] = []
        for number, (rows, columns) in enumerate(blocks):
            parts = []
            for strip in strips(rows, columns):
                seen = maps[0].indices[:, strip[0].scaled(PATCH_TOP).outer, strip[1].scaled(PATCH_TOP).outer].to(device)
                with autocast_on(device):
                    z_e = network.z_e_bottom(*hidden(*strip), seen)
                parts.append(_kept(z_e, strip, PATCH_BOTTOM))
            places = rows.scaled(PATCH_TOP).inner, columns.scaled(PATCH_TOP).inner
            earlier, choose = [maps[0].indices[:, places[0], places[1]].to(device)], choose_at(*places)
            others.append(network.quantizer_bottom.quantize(torch.cat(parts, dim=2), count - 1, choose=choose, earlier=earlier))
            on_progress((len(blocks) + (number + 1) * count) / steps)
        maps += [_joined(parts, blocks, PATCH_BOTTOM) for parts in zip(*others, strict=True)]
    return maps


def _kept(z_e: Tensor, strip: tuple[Span, Span], patch: int) -> Tensor:
    rows, columns = (span.scaled(patch).kept for span in strip)
    return z_e[:, :, rows, columns].contiguous()


def _joined(parts: Sequence[ChosenMap], blocks: Sequence[tuple[Span, Span]], patch: int) -> ChosenMap:
    """Returns one map of whole images, given that of each block."""
    places = [(rows.scaled(patch).inner, columns.scaled(patch).inner) for rows, columns in blocks]
    indices = _placed([part.indices for part in parts], places)
    streams: list[list[bytes]] | None = None
    if parts[0].streams is not None:
        order = sorted(range(len(numbers := _group_numbers(blocks))), key=numbers.__getitem__)
        flat = [[stream for part in parts for stream in (part.streams or ())[image]] for image in range(len(indices))]
        streams = [[of_image[number] for number in order] for of_image in flat]
    return ChosenMap(indices, streams)


def _placed(parts: Sequence[Tensor], places: Sequence[tuple[slice, slice]]) -> Tensor:
    """Returns parts [N, h, w] in one tensor on the CPU."""
    if len(parts) == 1:
        return parts[0].cpu()
    rows, columns = places[-1]
    whole = parts[0].new_empty(len(parts[0]), rows.stop, columns.stop, device="cpu")
    for part, (rows, columns) in zip(parts, places, strict=True):
        whole[:, rows, columns] = part
    return whole


def _group_numbers(blocks: Sequence[tuple[Span, Span]]) -> list[tuple[int, int]]:
    """Returns row and column of each tile group, block by block."""
    return [
        (row, column)
        for rows, columns in blocks
        for row in range(rows.inner.start, rows.inner.stop, GROUP_PX)
        for column in range(columns.inner.start, columns.inner.stop, GROUP_PX)
    ]
