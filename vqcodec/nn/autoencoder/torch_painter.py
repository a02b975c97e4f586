"""The decoders as painters, by torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqcodec.nn.autoencoder.decoders import BlendedDecoder, Decoder, decoder_inputs
from vqcodec.nn.autoencoder.vqvae import VQVAE


def autocast_on(device: torch.device) -> torch.autocast:
    """Lets convolutions run in half precision where that is fast.

    On CUDA this is float16, by which few samples of a photo change, and by one level. A CPU that has instructions for it takes bfloat16,
    as training does; others stay with float32.
    """
    if device.type == "cuda":
        return torch.autocast(device.type, torch.float16)
    is_fast = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=is_fast)


@dataclass(frozen=True)
class TorchPainter:
    """A `Painter` of a decoder, which runs on the decoder's device.

    Attributes:
        codebooks: vectors of all codes of all maps, [maps, K, D], on the decoder's device.
        decoder: the decoder in evaluation mode.
    """

    codebooks: Tensor
    decoder: Decoder | BlendedDecoder

    @classmethod
    def of(cls, network: VQVAE) -> Self:
        """Returns the painter of an autoencoder with its own decoder."""
        return cls(network.codebooks, network.decoder)

    @property
    def margin_px(self) -> int:
        """Distance in pixels beyond which a pixel does not depend on a code, a multiple of 8."""
        return self.decoder.config.decoder_margin_px

    def __call__(self, codes: Sequence[NDArray[np.int64]], kept: tuple[slice, slice]) -> NDArray[np.uint8]:
        """Paints what is kept of images, uint8 [N, H, W, 3], from the codes [N, h, w] of their first maps."""
        device = self.codebooks.device
        tensors = [torch.from_numpy(np.ascontiguousarray(of_map)).to(device) for of_map in codes]
        with torch.inference_mode(), autocast_on(device):
            x_hat: Tensor = self.decoder(*decoder_inputs(self.codebooks, tensors))[:, :, kept[0], kept[1]].float()
            pixels: NDArray[np.uint8] = x_hat.clamp_(-1, 1).add_(1).mul_(127.5).round_().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        return pixels
