"""Which layers a picture gets, by rate and distortion: none, exact patches, everything exact, or an AVIF picture in place of codes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.format.layers import Layers
from vqcodec.images.fill import fill_smoothly
from vqcodec.images.layers import avif_within, decode_layers, exact_patches
from vqcodec.models.dial import OperatingPoint
from vqcodec.rate.graphics import BLOCK_PX, choose_exact, exact_bits, may_be_graphics
from vqcodec.rate.options import LayerOptions

_WEIGHT_OF_ONE_MAP: Final = 50000.0
"""Squared error, summed over R, G and B, that a byte of photos of one map saves; measured on held-out photos, as is the next."""
_WEIGHT_OF_LAMBDA: Final = 7000.0
"""The same for a lambda of 1 and more maps."""
_LEAST_LAMBDA: Final = 0.05
"""Least lambda that counts, that of the best pictures."""
_SCALES: Final = (0.1, 0.2, 0.4, 0.8)
"""Factors of the estimated bits of exact pixels that are tried: how far they repeat each other shows in the real bitstream alone."""
_LEAST_GAIN: Final = 0.03
"""Least share of the cost that layers must save."""
_AVIF_GAIN: Final = 0.16
"""Least share of the squared error that an AVIF file must save that takes the place of codes: 0.75 dB."""
_REACH_PLACES: Final = 2
"""Places of the top map beside exact pixels whose codes still matter for what can be seen."""


@dataclass(frozen=True)
class Version:
    """One way to write a picture.

    Attributes:
        data: bytes of the file.
        indices: its index maps, int64 [h, w] each.
        layers: its layers.
        painted: uint8 [H, W, 3], what the codes paint; anything where layers cover it.
    """

    data: bytes
    indices: list[NDArray[np.int64]]
    layers: Layers
    painted: NDArray[np.uint8]


@dataclass(frozen=True)
class LayerChoice:
    """The choice of layers for one picture.

    Attributes:
        rgb: uint8 [H, W, 3], the picture.
        visible: bool [H, W], pixels that count.
        point: operating point of the codes.
        options: layers that there may be.
        max_bytes: most bytes that the file should have; None for no limit.
        encode: function that encodes pixels with layers above them; codes are free at the places [H / 8, W / 8] that it is given.
        cover: function that writes a file of layers without codes.
    """

    rgb: NDArray[np.uint8]
    visible: NDArray[np.bool_]
    point: OperatingPoint
    options: LayerOptions
    max_bytes: int | None
    encode: Callable[[NDArray[np.uint8], NDArray[np.bool_], Layers], Version]
    cover: Callable[[Layers], Version]

    def all_exact(self) -> Version:
        """Returns the file in which everything visible is exact."""
        return self.cover(Layers(exact_patches(self.rgb, np.ones_like(self.visible))))

    def best(self, codes: Version) -> Version:
        """Returns the best way to write the picture, given that of codes alone."""
        versions = [codes]
        if self.options.exact == "auto":
            versions += [self.all_exact(), *self._with_patches(codes)]
        best = min(versions, key=self._cost)
        if best is not codes and self._cost(best) > (1 - _LEAST_GAIN) * self._cost(codes):
            best = codes
        return self._with_avif(best) or best

    def _with_avif(self, best: Version) -> Version | None:
        """Returns an AVIF picture in place of the codes where it is clearly better than the best version so far."""
        if not (error := self._error(best)):
            return None
        limit = len(best.data) if self.max_bytes is None else min(self.max_bytes, len(best.data))
        if (avif := avif_within(self.rgb, limit)) is None:
            return None
        other = self.cover(Layers(avif=avif))
        is_as_small = len(avif) <= limit and self._error(other) < (1 - _AVIF_GAIN) * error
        return other if is_as_small or self._cost(other) < (1 - _LEAST_GAIN) * self._cost(best) else None

    def _with_patches(self, codes: Version) -> list[Version]:
        """Returns the file of exact patches above codes; none where no pixel is worth it, or all are."""
        errors, bits = self._errors(codes.painted), exact_bits(self.rgb)
        tried = []
        for scale in _SCALES:
            mask = choose_exact(scale * bits, errors, self.rgb, self._weight / 8)
            if mask.any() and not mask.all():
                patches = exact_patches(self.rgb, mask)
                size = sum(len(patch.bitstream) for patch in patches)
                tried.append((float(errors[~mask].sum()) + self._weight * size, mask, patches))
        if not tried:
            return []
        _, mask, patches = min(tried, key=lambda one: one[0])
        return [self.encode(fill_smoothly(self.rgb, self.visible & ~mask), _free_places(mask), Layers(patches))]

    @property
    def _weight(self) -> float:
        """The squared error that a byte is worth."""
        return _WEIGHT_OF_ONE_MAP if self.point.num_maps == 1 else _WEIGHT_OF_LAMBDA * max(self.point.rate_weight, _LEAST_LAMBDA)

    def _errors(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        difference = picture.astype(np.float32) - self.rgb
        return np.where(self.visible, np.square(difference).sum(axis=2), 0).astype(np.float32)

    def _error(self, version: Version) -> float:
        height, width = self.visible.shape
        picture = decode_layers(version.layers, width, height).paste(version.painted)
        return float(self._errors(picture).sum(dtype=np.float64))

    def _cost(self, version: Version) -> float:
        if self.max_bytes is not None and len(version.data) > self.max_bytes:
            return float("inf")
        return self._error(version) + self._weight * len(version.data)


def wants_layers(rgb: NDArray[np.uint8], options: LayerOptions) -> bool:
    """Tells whether layers are worth a try for a picture, uint8 [H, W, 3]."""
    return options.layers and may_be_graphics(rgb)


def _free_places(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Returns the places [H / 8, W / 8] of the top map that lie under exact pixels, far from others."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % BLOCK_PX), (0, -width % BLOCK_PX)), constant_values=True)
    places = np.asarray(padded.reshape(padded.shape[0] // BLOCK_PX, BLOCK_PX, -1, BLOCK_PX).all(axis=(1, 3)))
    for _ in range(_REACH_PLACES):
        around = np.pad(places, 1, constant_values=True)
        rows = around[:-2] & around[1:-1] & around[2:]
        places = rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]
    return places
