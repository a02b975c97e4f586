"""Large images through the autoencoder block by block, so that the memory of the networks does not grow with the image.

A block is cut out with a margin as wide as the network's receptive field reaches, and only its inside is kept: the codes and pixels are
those of the whole image in one pass, but for the rounding of floating-point sums. An image of one block goes through in one pass.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Self

import torch
from torch import Tensor

from vqcodec.format.container import map_scale
from vqcodec.nn.autoencoder.decoders import BlendedDecoder, Decoder
from vqcodec.nn.autoencoder.quantizer import ChooseMap, ChosenMap, choose_nearest
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.nn.configs import PATCH_BOTTOM, PATCH_TOP

BLOCK_PX: Final = 2048
"""Longest side of a block in pixels."""


@dataclass(frozen=True)
class _Span:
    """The place of one block along one axis, in pixels, multiples of 8: the network sees `outer`, and `inner` is kept of that."""

    outer: slice
    inner: slice

    def scaled(self, divisor: int) -> Self:
        return type(self)(_divided(self.outer, divisor), _divided(self.inner, divisor))

    @property
    def kept(self) -> slice:
        """The place of `inner`, counted from the beginning of `outer`."""
        return slice(self.inner.start - self.outer.start, self.inner.stop - self.outer.start)


def _divided(span: slice, divisor: int) -> slice:
    return slice(span.start // divisor, span.stop // divisor)


def _spans(length: int, block: int, margin: int) -> Iterator[_Span]:
    """Yields blocks of nearly equal length, none longer than `block`, that cover `length`; all in pixels and multiples of 8."""
    count = -(-length // block)
    edges = [length * number // count // PATCH_TOP * PATCH_TOP for number in range(count)] + [length]
    for start, stop in pairwise(edges):
        yield _Span(slice(max(0, start - margin), min(length, stop + margin)), slice(start, stop))


def _autocast(device: torch.device) -> torch.autocast:
    """Lets convolutions run on bfloat16, as in training, on a CPU that has instructions for it; elsewhere they stay in float32."""
    is_fast = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=is_fast)


def _blocks(height: int, width: int, block: int, margin: int) -> Iterator[tuple[_Span, _Span]]:
    if height <= block and width <= block:
        margin = 0
    for rows in _spans(height, block, margin):
        for columns in _spans(width, block, margin):
            yield rows, columns


def encode_in_blocks(
    network: VQVAE, pixels: Tensor, num_maps: int | None = None, *, choose: ChooseMap = choose_nearest, block: int = BLOCK_PX
) -> list[ChosenMap]:
    """Encodes 8-bit images into index maps. Codes are chosen a whole map at a time; only the network works by blocks.

    Args:
        network: network in evaluation mode; blocks are moved to its device one by one.
        pixels: uint8 [N, 3, H, W] on the CPU, H and W multiples of 8.
        num_maps: number of maps to compute, from the top on; all by default.
        choose: function that chooses a map, given the maps before; by default it takes the nearest codes.
        block: longest side of a block in pixels, a multiple of 8.

    Returns:
        The maps, top first, their indices [N, h, w] on the CPU.
    """
    n, _, height, width = pixels.shape
    count = network.config.num_maps if num_maps is None else num_maps
    blocks = list(_blocks(height, width, block, network.config.encoder_margin_px))
    dim, device = network.config.embedding_dim, next(network.parameters()).device

    def cut(rows: _Span, columns: _Span) -> Tensor:
        x = pixels[:, :, rows.outer, columns.outer].to(device).float().div_(127.5).sub_(1.0)
        return x.contiguous(memory_format=torch.channels_last)

    def keep(z_e: Tensor, part: Tensor, rows: _Span, columns: _Span) -> None:
        z_e[:, :, rows.inner, columns.inner] = part[:, :, rows.kept, columns.kept]

    z_e_top = torch.empty(n, dim, height // PATCH_TOP, width // PATCH_TOP, device=device)
    for rows, columns in blocks:
        x = cut(rows, columns)
        with _autocast(device):
            hidden = network.hidden(x)
            part = network.top_encoder(x, hidden)
        keep(z_e_top, part, rows.scaled(PATCH_TOP), columns.scaled(PATCH_TOP))
    maps = network.quantizer_top.quantize(z_e_top, choose=choose)
    if count > 1:
        indices_top = maps[0].indices
        z_e_bottom = torch.empty(n, dim, height // PATCH_BOTTOM, width // PATCH_BOTTOM, device=device)
        for rows, columns in blocks:
            top = indices_top[:, rows.scaled(PATCH_TOP).outer, columns.scaled(PATCH_TOP).outer]
            with _autocast(device):
                if len(blocks) > 1:
                    x = cut(rows, columns)
                    hidden = network.hidden(x)
                part = network.z_e_bottom(x, hidden, top)
            keep(z_e_bottom, part, rows.scaled(PATCH_BOTTOM), columns.scaled(PATCH_BOTTOM))
        maps += network.quantizer_bottom.quantize(z_e_bottom, count - 1, choose=choose, earlier=[indices_top])
    return [replace(chosen, indices=chosen.indices.cpu()) for chosen in maps]


def paint_in_blocks(network: VQVAE, indices: Sequence[Tensor], decoder: Decoder | BlendedDecoder, *, block: int = BLOCK_PX) -> Tensor:
    """Paints 8-bit images from the first len(indices) maps.

    Args:
        network: network whose codes they are, in evaluation mode; blocks are moved to its device one by one.
        indices: int64 [N, h, w] a map, top first, on the CPU.
        decoder: the network's own or another one for its codes, on its device.
        block: longest side of a block in pixels, a multiple of 8.

    Returns:
        uint8 [N, 3, H, W] on the CPU.
    """
    n, height, width = indices[0].shape[0], indices[0].shape[1] * PATCH_TOP, indices[0].shape[2] * PATCH_TOP
    pixels = torch.empty(n, 3, height, width, dtype=torch.uint8, device="cpu")
    device = next(network.parameters()).device
    for rows, columns in _blocks(height, width, block, decoder.config.decoder_margin_px):
        parts = []
        for level, whole in enumerate(indices):
            stride = PATCH_TOP // map_scale(level)
            parts.append(whole[:, rows.scaled(stride).outer, columns.scaled(stride).outer].to(device))
        with _autocast(device):
            x_hat = decoder(*network.lookup(parts)).float()
        x_hat = x_hat.clamp_(-1, 1).add_(1).mul_(127.5).round_().to(torch.uint8)
        pixels[:, :, rows.inner, columns.inner] = x_hat[:, :, rows.kept, columns.kept].cpu()
    return pixels
