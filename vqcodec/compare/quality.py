"""Measures of the distortion of a decoded image: all that a benchmark reports."""

import importlib
from collections.abc import Callable, Collection
from functools import cached_property
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vqcodec.images.dists import Dists, dists_weights_path
from vqcodec.images.lpips import BACKBONES, Backbone, Lpips, weights_path
from vqcodec.images.metrics import MS_SSIM_MIN_SIDE_PX, ms_ssim, psnr_db

LPIPS_MAX_PIXELS: Final = 1 << 22
"""Largest picture that LPIPS and DISTS are measured of, since they take 1.5 GiB a megapixel."""

SSIMULACRA2_MAX_PIXELS: Final = 1 << 24
"""Largest picture that SSIMULACRA 2 is measured of, since it takes 0.5 GiB a megapixel."""

SSIMULACRA2_MIN_SIDE_PX: Final = 225
"""Shortest side that SSIMULACRA 2 is measured of.

With less, the package leaves out the coarsest of six scales, and the weights that follow meet other scales and channels than theirs.
"""


class Quality:
    """A meter of decoded images. It reads weights when they are first needed.

    Attributes:
        missing: metrics that cannot be measured here because a package is not installed, with what to do about it.
    """

    def __init__(self) -> None:
        self.missing: Final[dict[str, str]] = {}
        for backbone in BACKBONES:
            try:
                weights_path(backbone)
            except ImportError as error:
                self.missing[f"lpips_{backbone}"] = str(error)
        try:
            dists_weights_path()
        except ImportError as error:
            self.missing["dists"] = str(error)
        try:
            importlib.import_module("ssimulacra2")
        except ImportError as error:
            self.missing["ssimulacra2"] = f"{error}: pip install ssimulacra2"

    def measurable(self, height: int, width: int) -> set[str]:
        """Returns the metrics that `measure` gives a value for, of pictures of this size."""
        least = {f"lpips_{backbone}": spec.min_side_px for backbone, spec in BACKBONES.items()}
        least |= {"dists": Dists.min_side_px}
        most = dict.fromkeys(least, LPIPS_MAX_PIXELS) | {"ssimulacra2": SSIMULACRA2_MAX_PIXELS}
        least |= {"psnr_db": 1, "ms_ssim": MS_SSIM_MIN_SIDE_PX, "ssimulacra2": SSIMULACRA2_MIN_SIDE_PX}
        return {
            name
            for name, side_px in least.items()
            if name not in self.missing and min(height, width) >= side_px and height * width <= most.get(name, height * width)
        }

    def measure(
        self, original: NDArray[np.uint8], decoded: NDArray[np.uint8], wanted: Collection[str] | None = None
    ) -> dict[str, float | None]:
        """Measures a decoded image against the original.

        Args:
            original: uint8 [H, W, 3].
            decoded: uint8 [H, W, 3].
            wanted: metrics that are measured beside PSNR and MS-SSIM; None for all.

        Returns:
            psnr_db, infinite for equal images; ms_ssim; lpips_alex, lpips_vgg and dists, 0 for equal images; ssimulacra2, 100 for equal
            images and without lower bound. A metric is None where it is in `missing`, where a side is too short (`MS_SSIM_MIN_SIDE_PX`,
            `min_side_px` of the backbone and of `Dists`, `SSIMULACRA2_MIN_SIDE_PX`), and where it would take too much memory
            (`LPIPS_MAX_PIXELS`, `SSIMULACRA2_MAX_PIXELS`), or it is not wanted.

        Raises:
            ValueError: The shapes differ, or are not those of RGB images.
            WeightsMismatchError: The installed weights of LPIPS or DISTS are not those that were expected.
        """
        if original.ndim != 3 or original.shape[2] != 3:
            raise ValueError(f"images must be [H, W, 3], not {list(original.shape)}")
        slow: dict[str, Callable[[], float | None]] = {
            "lpips_alex": lambda: self._lpips("alex", original, decoded),
            "lpips_vgg": lambda: self._lpips("vgg", original, decoded),
            "ssimulacra2": lambda: self._ssimulacra2(original, decoded),
            "dists": lambda: self._dists.of_images(original, decoded) if "dists" in self.measurable(*original.shape[:2]) else None,
        }
        measured = {name: measure() if wanted is None or name in wanted else None for name, measure in slow.items()}
        return {"psnr_db": psnr_db(original, decoded), "ms_ssim": ms_ssim(original, decoded), **measured}

    @cached_property
    def _dists(self) -> Dists:
        return Dists()

    @cached_property
    def _networks(self) -> dict[Backbone, Lpips]:
        return {backbone: Lpips(backbone) for backbone in BACKBONES if f"lpips_{backbone}" not in self.missing}

    def _lpips(self, backbone: Backbone, original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float | None:
        if f"lpips_{backbone}" not in self.measurable(*original.shape[:2]):
            return None
        return self._networks[backbone].of_images(original, decoded)

    def _ssimulacra2(self, original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float | None:
        if "ssimulacra2" not in self.measurable(*original.shape[:2]):
            return None
        return ssimulacra2(original, decoded)


def ssimulacra2(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float:
    """Returns SSIMULACRA 2.1 (Sneyers 2023) of images of one shape, uint8 [H, W, 3], by the package ssimulacra2: at most 100.

    The package, unlike the reference tool in libjxl, mirrors images at two of their borders: photos of about 512 pixels a side score lower,
    by up to 1.3 at a score of 50 and up to 4 at 0. Sides shorter than `SSIMULACRA2_MIN_SIDE_PX` make its scores meaningless.

    Raises:
        ImportError: The package is not installed.
    """
    compute = importlib.import_module("ssimulacra2").compute_ssimulacra2
    return float(compute(_ppm(original), _ppm(decoded)))


def _ppm(image: NDArray[np.uint8]) -> BytesIO:
    """Returns the image as a file, the form in which the package ssimulacra2 takes one."""
    file = BytesIO()
    Image.fromarray(image).save(file, format="PPM")
    return file
