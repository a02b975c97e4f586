"""The protocol behind which all image codecs are compared.

Codecs take and give uint8 RGB [H, W, 3], and all bytes of a file count. The settings are fair to each codec: as slow as people would bear
for an archive, with the colour subsampling that the library has by default (bench/README.md lists them).
"""

from abc import ABC, abstractmethod
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


class ImageCodec(ABC):
    """A codec, with the settings that it is measured at.

    Attributes:
        name: name in results and plots.
        knob: short name of what a setting turns, its prefix in results: `q` gives `q30`.
        settings: settings in order of bytes, the fewest first.
    """

    name: str
    knob: str
    settings: tuple[float, ...]

    @abstractmethod
    def version(self) -> str:
        """Returns the version of the library that does the work, and whatever else its bytes depend on.

        Raises:
            ImportError: Something that the codec needs is not installed.
        """

    @abstractmethod
    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """Returns the whole file of a picture."""

    def decode(self, data: bytes) -> Pixels:
        """Returns the picture that a file holds, read by Pillow unless a codec overrides this."""
        return np.asarray(Image.open(BytesIO(data)).convert("RGB"))

    def label(self, setting: float) -> str:
        """Returns the name of a setting in results, such as `q30`."""
        return f"{self.knob}{setting:g}"
