"""Large images through the autoencoder block by block, so that memory does not grow with the image.

A block is cut out with a margin as wide as the network's receptive field reaches, and only its inside is kept: the codes and pixels are
those of the whole image in one pass, but for the rounding of floating-point sums. An image of one block goes through in one pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor

from vqcodec.nn.autoencoder.painters import BlendedPainter
from vqcodec.nn.autoencoder.quantizer import Choose, after
from vqcodec.nn.autoencoder.vqvae import PATCH_BOTTOM, PATCH_TOP, VQVAE, Painter

BLOCK_PX: Final = 2048


@dataclass(frozen=True)
class _Span:
    """One block along one axis, in pixels: `outer` is what the network sees, `inner` what is kept of it. Multiples of 8."""

    outer: slice
    inner: slice

    def scaled(self, divisor: int) -> "_Span":
        return _Span(_divided(self.outer, divisor), _divided(self.inner, divisor))

    @property
    def kept(self) -> slice:
        """`inner`, counted from the beginning of `outer`."""
        return slice(self.inner.start - self.outer.start, self.inner.stop - self.outer.start)


def _divided(span: slice, divisor: int) -> slice:
    return slice(span.start // divisor, span.stop // divisor)


def _spans(length: int, block: int, margin: int) -> Iterator[_Span]:
    """Blocks of nearly equal length, none longer than `block`, that cover `length`; all in pixels and multiples of 8."""
    count = -(-length // block)
    edges = [length * number // count // PATCH_TOP * PATCH_TOP for number in range(count)] + [length]
    for start, stop in pairwise(edges):
        yield _Span(slice(max(0, start - margin), min(length, stop + margin)), slice(start, stop))


def _autocast(device: torch.device) -> torch.autocast:
    """Convolutions on bfloat16, as in training, on a CPU that has instructions for it; float32 elsewhere."""
    is_fast = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=is_fast)


def _blocks(height: int, width: int, block: int, margin: int) -> Iterator[tuple[_Span, _Span]]:
    if height <= block and width <= block:
        margin = 0
    for rows in _spans(height, block, margin):
        for columns in _spans(width, block, margin):
            yield rows, columns


def encode_in_blocks(
    network: VQVAE, pixels: Tensor, num_maps: int | None = None, *, choose: Choose | None = None, block: int = BLOCK_PX
) -> list[Tensor]:
    """Index maps of 8-bit images. Codes are chosen a whole map at a time; only the network works by blocks.

    Args:
        network: in evaluation mode; blocks are moved to its device one by one.
        pixels: uint8 [N, 3, H, W] on the CPU, H and W multiples of 8.
        num_maps: the first maps to compute, all by default.
        choose: chooses the codes of a map, given those of the maps before; the nearest ones by default.
        block: longest side of a block in pixels, a multiple of 8.

    Returns:
        int64 [N, h, w] a map, top first, on the CPU.
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
    indices = network.quantizer_top.encode(z_e_top, choose=choose)
    if count > 1:
        z_e_bottom = torch.empty(n, dim, height // PATCH_BOTTOM, width // PATCH_BOTTOM, device=device)
        for rows, columns in blocks:
            top = indices[0][:, rows.scaled(PATCH_TOP).outer, columns.scaled(PATCH_TOP).outer]
            with _autocast(device):
                if len(blocks) > 1:
                    x = cut(rows, columns)
                    hidden = network.hidden(x)
                part = network.z_e_bottom(x, hidden, top)
            keep(z_e_bottom, part, rows.scaled(PATCH_BOTTOM), columns.scaled(PATCH_BOTTOM))
        chosen_after_top = None if choose is None else after(indices, choose)
        indices += network.quantizer_bottom.encode(z_e_bottom, count - 1, choose=chosen_after_top)
    return [level.cpu() for level in indices]


def decode_in_blocks(
    network: VQVAE, indices: list[Tensor], *, painter: Painter | BlendedPainter | None = None, block: int = BLOCK_PX
) -> Tensor:
    """8-bit images of the first len(indices) maps.

    Args:
        network: in evaluation mode; blocks are moved to its device one by one.
        indices: int64 [N, h, w] a map, top first, on the CPU.
        painter: paints in the network's place; on its device.
        block: longest side of a block in pixels, a multiple of 8.

    Returns:
        uint8 [N, 3, H, W] on the CPU.
    """
    n, height, width = indices[0].shape[0], indices[0].shape[1] * PATCH_TOP, indices[0].shape[2] * PATCH_TOP
    pixels = torch.empty(n, 3, height, width, dtype=torch.uint8)
    device = next(network.parameters()).device
    for rows, columns in _blocks(height, width, block, (painter or network).config.decoder_margin_px):
        parts = []
        for number, level in enumerate(indices):
            stride = PATCH_TOP if number == 0 else PATCH_TOP // 2
            parts.append(level[:, rows.scaled(stride).outer, columns.scaled(stride).outer].to(device))
        with _autocast(device):
            x_hat = network.decode(parts, painter).float()
        x_hat = x_hat.clamp_(-1, 1).add_(1).mul_(127.5).round_().to(torch.uint8)
        pixels[:, :, rows.inner, columns.inner] = x_hat[:, :, rows.kept, columns.kept].cpu()
    return pixels
