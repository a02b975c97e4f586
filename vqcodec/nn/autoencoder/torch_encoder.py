"""The encoder networks, by torch."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqcodec.nn.autoencoder.torch_painter import autocast_on
from vqcodec.nn.autoencoder.vqvae import VQVAE


@dataclass(frozen=True)
class _SeenByTorch:
    """A `Seen`.

    Attributes:
        network: the autoencoder.
        x: the images, float32 [N, 3, H, W] in [-1, 1].
        hidden: their hidden states [N, C, H/4, W/4].
    """

    network: VQVAE
    x: Tensor
    hidden: Tensor

    @property
    def conditions(self) -> tuple[()]:
        """None, as torch paints on its own."""
        return ()

    def z_e_top(self) -> NDArray[np.float32]:
        """Returns z_e of the top map, float32 [N, H/8, W/8, D]."""
        with torch.inference_mode(), autocast_on(self.x.device):
            return _channels_last(self.network.top_encoder(self.x, self.hidden))

    def z_e_bottom(self, indices_top: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns z_e of the bottom map and its refinements, float32 [N, H/4, W/4, D]."""
        indices = torch.tensor(np.ascontiguousarray(indices_top), device=self.x.device)
        with torch.inference_mode(), autocast_on(self.x.device):
            return _channels_last(self.network.z_e_bottom(self.x, self.hidden, indices))


@dataclass(frozen=True, eq=False)
class TorchEncoder:
    """An `Encoder`, which runs on the network's device.

    Attributes:
        network: the autoencoder in evaluation mode.
    """

    network: VQVAE

    @cached_property
    def codebooks(self) -> NDArray[np.float32]:
        """Vectors of all codes of all maps, float32 [maps, K, D]."""
        codebooks: NDArray[np.float32] = self.network.codebooks.float().cpu().numpy()
        return codebooks

    @property
    def margin_px(self) -> int:
        """Distance in pixels beyond which a code does not depend on a pixel, a multiple of 8."""
        return self.network.config.encoder_margin_px

    def __call__(self, pixels: NDArray[np.uint8]) -> _SeenByTorch:
        """Sees images uint8 [N, H, W, 3], H and W multiples of 8."""
        device = next(self.network.parameters()).device
        with torch.inference_mode(), autocast_on(device):
            x = torch.tensor(np.ascontiguousarray(pixels), device=device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
            x = x.contiguous(memory_format=torch.channels_last)
            return _SeenByTorch(self.network, x, self.network.hidden(x))


def _channels_last(z_e: Tensor) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = z_e.permute(0, 2, 3, 1).float().cpu().numpy()
    return vectors
