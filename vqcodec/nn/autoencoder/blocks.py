"""Large images through the autoencoder block by block, so that memory does not grow with the image but for codes and 8-bit pixels.

A block is cut out with a margin as wide as the network's receptive field reaches, and only its inside is kept: the codes and pixels are
those of the whole image in one pass, but for the rounding of floating-point sums. An image of one block goes through in one pass. Blocks of
the encoder consist of whole tile groups, so that each block's codes can be chosen as soon as the network is through with it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Final, Protocol, Self

import torch
from torch import Tensor

from vqcodec.format.container import GROUP_PX, Part, map_scale
from vqcodec.nn.autoencoder.decoders import BlendedDecoder, Decoder
from vqcodec.nn.autoencoder.quantizer import ChooseMap, ChosenMap, choose_nearest
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.nn.configs import PATCH_BOTTOM, PATCH_TOP
from vqcodec.nn.progress import OnProgress, no_progress

BLOCK_PX: Final = 2048
"""Longest side of a block in pixels."""

ROWS_PX: Final = 1024
"""Most rows of a block that go through the network at a time, where an image has several blocks."""

FLAT_PX: Final = 256
"""Longest side in pixels of the blocks that areas of equal codes are painted in, each but once."""

ChooseAt = Callable[[slice, slice], ChooseMap]
"""Function that gives the choice for a block, by its rows and columns in places of the top map."""


class Pixels(Protocol):
    """Images uint8 [N, 3, H, W] on the CPU, H and W multiples of 8: a tensor, or something that makes parts of it as they are needed."""

    @property
    def shape(self) -> Sequence[int]:
        """N, 3, H and W."""

    def __getitem__(self, place: tuple[slice, slice, slice, slice]) -> Tensor:
        """Returns a part."""


@dataclass(frozen=True)
class _Span:
    """The place of one block along one axis, in pixels: the network sees `outer`, multiples of 8, and `inner` is kept of that."""

    outer: slice
    inner: slice

    def scaled(self, divisor: int) -> Self:
        return type(self)(_divided(self.outer, divisor), _divided(self.inner, divisor))

    @property
    def kept(self) -> slice:
        """The place of `inner`, counted from the beginning of `outer`."""
        return slice(self.inner.start - self.outer.start, self.inner.stop - self.outer.start)

    @property
    def edges(self) -> tuple[int, int, int]:
        """The beginning and the end of `kept`, and the length of `outer`: all that the result depends on beside the codes."""
        return self.kept.start, self.kept.stop, self.outer.stop - self.outer.start


def _divided(span: slice, divisor: int) -> slice:
    return slice(span.start // divisor, span.stop // divisor)


def _spans(part: slice, length: int, block: int, margin: int, unit: int) -> Iterator[_Span]:
    """Yields blocks of nearly equal length, none longer than `block`, that cover `part` of `length`; they meet at multiples of `unit`."""
    first = part.start // unit
    units = -(-part.stop // unit) - first
    count = -(-units // (block // unit))
    edges = [part.start, *((first + units * number // count) * unit for number in range(1, count)), part.stop]
    for start, stop in pairwise(edges):
        outer_start = max(0, (start - margin) // PATCH_TOP * PATCH_TOP)
        yield _Span(slice(outer_start, min(length, -(-(stop + margin) // PATCH_TOP) * PATCH_TOP)), slice(start, stop))


def _autocast(device: torch.device) -> torch.autocast:
    """Lets convolutions run on bfloat16, as in training, on a CPU that has instructions for it; elsewhere they stay in float32."""
    is_fast = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=is_fast)


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
        for rows in _spans(slice(0, height), height, block, margin, GROUP_PX)
        for columns in _spans(slice(0, width), width, block, margin, GROUP_PX)
    ]
    device = next(network.parameters()).device
    steps = len(blocks) * (1 if count == 1 else 1 + count)

    def strips(rows: _Span, columns: _Span) -> Iterator[tuple[_Span, _Span]]:
        most = ROWS_PX if len(blocks) > 1 else block
        return ((strip, columns) for strip in _spans(rows.inner, height, most, margin, PATCH_TOP))

    def hidden(rows: _Span, columns: _Span) -> tuple[Tensor, Tensor]:
        if not known or known[0][0] != (rows, columns):
            known.clear()
            x = pixels[:, :, rows.outer, columns.outer].to(device).float().div_(127.5).sub_(1.0)
            x = x.contiguous(memory_format=torch.channels_last)
            known.append(((rows, columns), (x, network.hidden(x))))
        return known[0][1]

    known: list[tuple[tuple[_Span, _Span], tuple[Tensor, Tensor]]] = []
    tops: list[ChosenMap] = []
    for number, (rows, columns) in enumerate(blocks):
        parts = []
        for strip in strips(rows, columns):
            with _autocast(device):
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
                with _autocast(device):
                    z_e = network.z_e_bottom(*hidden(*strip), seen)
                parts.append(_kept(z_e, strip, PATCH_BOTTOM))
            places = rows.scaled(PATCH_TOP).inner, columns.scaled(PATCH_TOP).inner
            earlier, choose = [maps[0].indices[:, places[0], places[1]].to(device)], choose_at(*places)
            others.append(network.quantizer_bottom.quantize(torch.cat(parts, dim=2), count - 1, choose=choose, earlier=earlier))
            on_progress((len(blocks) + (number + 1) * count) / steps)
        maps += [_joined(parts, blocks, PATCH_BOTTOM) for parts in zip(*others, strict=True)]
    return maps


def _kept(z_e: Tensor, strip: tuple[_Span, _Span], patch: int) -> Tensor:
    rows, columns = (span.scaled(patch).kept for span in strip)
    return z_e[:, :, rows, columns].contiguous()


def _joined(parts: Sequence[ChosenMap], blocks: Sequence[tuple[_Span, _Span]], patch: int) -> ChosenMap:
    """Returns one map of whole images, given that of each block."""
    places = [(rows.scaled(patch).inner, columns.scaled(patch).inner) for rows, columns in blocks]
    indices = _placed([part.indices for part in parts], places)
    errors = [part.colour_errors for part in parts if part.colour_errors is not None]
    streams: list[list[bytes]] | None = None
    if parts[0].streams is not None:
        order = sorted(range(len(numbers := _group_numbers(blocks))), key=numbers.__getitem__)
        flat = [[stream for part in parts for stream in (part.streams or ())[image]] for image in range(len(indices))]
        streams = [[of_image[number] for number in order] for of_image in flat]
    return ChosenMap(indices, streams, _placed(errors, places) if errors else None)


def _placed(parts: Sequence[Tensor], places: Sequence[tuple[slice, slice]]) -> Tensor:
    """Returns parts [N, h, w, ...] in one tensor on the CPU."""
    if len(parts) == 1:
        return parts[0].cpu()
    rows, columns = places[-1]
    whole = parts[0].new_empty(len(parts[0]), rows.stop, columns.stop, *parts[0].shape[3:], device="cpu")
    for part, (rows, columns) in zip(parts, places, strict=True):
        whole[:, rows, columns] = part
    return whole


def _group_numbers(blocks: Sequence[tuple[_Span, _Span]]) -> list[tuple[int, int]]:
    """Returns row and column of each tile group, block by block."""
    return [
        (row, column)
        for rows, columns in blocks
        for row in range(rows.inner.start, rows.inner.stop, GROUP_PX)
        for column in range(columns.inner.start, columns.inner.stop, GROUP_PX)
    ]


def paint_in_blocks(
    network: VQVAE,
    indices: Sequence[Tensor],
    decoder: Decoder | BlendedDecoder,
    *,
    part: Part | None = None,
    margin: int | None = None,
    block: int = BLOCK_PX,
    on_progress: OnProgress = no_progress,
) -> Tensor:
    """Paints 8-bit images, or a part of each, from the first len(indices) maps.

    In images of several blocks, areas of equal codes are painted once for each shape of block: they take time by their borders only.

    Args:
        network: network whose codes they are, in evaluation mode; blocks are moved to its device one by one.
        indices: int64 [N, h, w] a map, top first, on the CPU.
        decoder: the network's own or another one for its codes, on its device.
        part: rows and columns to paint; all by default.
        margin: pixels around a block whose codes count; by default as far as the decoder sees, so that blocks do not show.
        block: longest side of a block in pixels, a multiple of 8.
        on_progress: function that is told how far the work is.

    Returns:
        uint8 [N, H, W, 3] on the CPU.
    """
    n, height, width = indices[0].shape[0], indices[0].shape[1] * PATCH_TOP, indices[0].shape[2] * PATCH_TOP
    part_rows, part_columns = part or (slice(0, height), slice(0, width))
    pixels = torch.empty(n, part_rows.stop - part_rows.start, part_columns.stop - part_columns.start, 3, dtype=torch.uint8, device="cpu")
    margin = decoder.config.decoder_margin_px if margin is None else margin
    is_one = max(pixels.shape[1:3]) <= block
    flat: dict[object, Tensor] = {}
    for rows in _spans(part_rows, height, block if is_one else min(block, ROWS_PX), margin, PATCH_TOP):
        for columns in _spans(part_columns, width, block, margin, PATCH_TOP):
            is_flat = not is_one and all((of_map == of_map[:, :1, :1]).all() for of_map in _cut(indices, rows, columns))
            places = [(rows, columns)]
            if is_flat:
                smaller_rows = _spans(rows.inner, height, FLAT_PX, margin, PATCH_TOP)
                places = list(product(smaller_rows, _spans(columns.inner, width, FLAT_PX, margin, PATCH_TOP)))
            else:
                flat.clear()
            for place in places:
                codes = _cut(indices, *place)
                key = (*(span.edges for span in place), *(of_map[:, 0, 0].numpy().tobytes() for of_map in codes))
                painted = flat[key] if key in flat else _painted(network, codes, decoder, *place)
                if is_flat:
                    flat[key] = painted
                target = pixels[:, place[0].inner.start - part_rows.start :, place[1].inner.start - part_columns.start :]
                target[:, : painted.shape[1], : painted.shape[2]] = painted
        on_progress((rows.inner.stop - part_rows.start) / len(pixels[0]))
    return pixels


def _cut(indices: Sequence[Tensor], rows: _Span, columns: _Span) -> list[Tensor]:
    """Returns the codes of each map that a block sees."""
    scales = [PATCH_TOP // map_scale(level) for level in range(len(indices))]
    return [whole[:, rows.scaled(s).outer, columns.scaled(s).outer] for whole, s in zip(indices, scales, strict=True)]


def _painted(network: VQVAE, codes: Sequence[Tensor], decoder: Decoder | BlendedDecoder, rows: _Span, columns: _Span) -> Tensor:
    """Returns what is kept of a block, uint8 [N, h, w, 3] on the CPU."""
    device = next(network.parameters()).device
    with _autocast(device):
        x_hat: Tensor = decoder(*network.lookup([of_map.to(device) for of_map in codes]))[:, :, rows.kept, columns.kept].float()
    return x_hat.clamp_(-1, 1).add_(1).mul_(127.5).round_().to(torch.uint8).permute(0, 2, 3, 1).cpu()
