"""Autoencoders, and decoders alone, as weights files have them. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqcodec.nn.configs import VQVAEConfig


@dataclass(frozen=True)
class StoredNetwork:
    """An autoencoder or a decoder as a weights file has it.

    Attributes:
        config: its shape.
        tensors: its tensors, under the names that weights files use.
        activation_ranges: largest inputs of the convolutions that may compute in 8 bits, by their names; each follows a swish.
    """

    config: VQVAEConfig
    tensors: Mapping[str, NDArray[Any]]
    activation_ranges: Mapping[str, float] = field(default_factory=dict)

    def tensor(self, name: str, *shape: int) -> NDArray[np.float32]:
        """Returns a tensor, float32.

        Raises:
            ValueError: It is missing, or of another shape.
        """
        if name not in self.tensors:
            raise ValueError(f"there is no tensor {name}, expected one of shape {list(shape)}")
        values = self.tensors[name]
        if values.shape != shape:
            raise ValueError(f"tensor {name} has shape {list(values.shape)}, expected {list(shape)}")
        return np.ascontiguousarray(values, np.float32)
