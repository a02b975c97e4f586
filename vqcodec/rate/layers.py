"""Which layers a picture gets, by rate and distortion: none, exact patches, everything exact, or an AVIF picture in place of codes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.format.layers import Layers, Patch
from vqcodec.images.fill import fill_smoothly
from vqcodec.images.layers import (
    avif_within,
    avifs_within,
    can_encode_avif,
    decode_avif,
    decode_layers,
    exact_patches,
    lossless_layers,
    quick_avif,
)
from vqcodec.models.dial import OperatingPoint
from vqcodec.rate.graphics import (
    FREQUENT_BITS,
    PLACE_PX,
    choose_boxes,
    choose_exact,
    exact_bits,
    find_boxes,
    importance,
    ink_of,
    large_areas,
    may_be_graphics,
)
from vqcodec.rate.options import LayerOptions
from vqcodec.rate.tint import place_means, worst_block

_WEIGHT_OF_ONE_MAP: Final = 75000.0
"""Squared error, summed over R, G and B, that a byte of photos of one map saves, about; measured on held-out photos, as is the next."""
_WEIGHT_OF_LAMBDA: Final = 7000.0
"""The same for a lambda of 1 and more maps."""
_LEAST_LAMBDA: Final = 0.05
"""Least lambda that counts, that of the best pictures."""
_SCALES: Final = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Factors of the estimated bits of exact pixels that are tried: how far they repeat each other shows in the real bitstream alone."""
LEAST_GAIN: Final = 0.03
"""Least share of the cost that layers must save."""
_AVIF_GAIN, _SMOOTH_AVIF_GAIN = 0.29, 0.16
"""Least share of the squared error that an AVIF file must save that takes the place of codes: 1.5 dB, or 0.75 dB in smooth pictures."""
_SMOOTH_BYTES: Final = 320
"""Bytes that an AVIF file of a smooth picture may have more than the codes, since no AVIF file is as small as some of these."""
_SMOOTH_DRIFT: Final = 0.75
"""Error in levels of the mean of a block of a smooth AVIF picture from which on other qualities are tried, which may round it better."""
_SMOOTH_QUALITIES: Final = range(20, 91, 10)
"""These qualities."""
_AVIF_POWER: Final = 1.1
"""About the power of its bytes by which the squared error of a picture falls."""
_AVIF_HOPE: Final = 1.8
"""Factor by which a quick AVIF file may have more error than the best version so far, if a full search is to be worth its time."""
_MOST_DRIFT: Final = 2.5
"""Error in levels of the mean of a block of an AVIF picture from which on larger files are tried, which may be right there."""
_STEADIER_TRIES, _STEADIER_STEP = 3, 1.07
"""Number of these files, and about the factor by which each is larger than the last."""
_MOST_WEIGHT: Final = 4.0
"""Most that the worth of a byte is raised by: in pictures with much detail, more bytes of codes save more than in others. The squared error
of photos that codes paint is about inverse to their bytes."""
_EXACT_SCALE: Final = 0.02
"""Least factor of the estimated bits of a whole picture; those that repeat their rows need so few."""
_EVEN_ERROR: Final = 1.5
_EVEN_LEVELS: Final = 6
"""Most mean squared error of samples, and most error of a single one in levels, where a picture may become its mean colour."""
_LEFT_SHARE: Final = 0.7
"""About the share of the codes' bytes that is left where a part of the picture is exact."""
_EXACT_BYTES: Final = 64
"""Bytes that a lossless file may have more than the best of the others, beside `_EXACT_SHARE`."""
_EXACT_SHARE: Final = 1.05
_REACH_PLACES: Final = 2
"""Places of the top map beside exact pixels whose codes still matter for what can be seen."""


def byte_weight(point: OperatingPoint) -> float:
    """Returns the squared error, summed over R, G and B and all pixels, that a byte is worth at an operating point."""
    return _WEIGHT_OF_ONE_MAP if point.num_maps == 1 else _WEIGHT_OF_LAMBDA * max(point.rate_weight, _LEAST_LAMBDA)


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
        weight: squared error, summed over R, G and B, that a byte is worth (`byte_weight`).
        options: layers that there may be.
        max_bytes: most bytes that the file should have; None for no limit.
        must_fit: whether a version of more bytes is worth nothing. Else it counts as what it would be with so many bytes, since codes that
            fit are searched for.
        tag_bytes: bytes that every version takes for colour profile, EXIF and XMP. Those of an alpha plane count as bytes of pixels.
        encode: function that encodes pixels with layers above them; codes are free at the places [H / 8, W / 8] that it is given.
        cover: function that writes a file of layers without codes.
        avif: whether an AVIF picture may stand in place of codes.
        smooth: whether the picture is smooth and its codes are worse than plain colours (`SmoothPlaces`).
    """

    rgb: NDArray[np.uint8]
    visible: NDArray[np.bool_]
    weight: float
    options: LayerOptions
    max_bytes: int | None
    encode: Callable[[NDArray[np.uint8], NDArray[np.bool_], Layers], Version]
    cover: Callable[[Layers], Version]
    avif: bool = True
    smooth: bool = False
    must_fit: bool = False
    tag_bytes: int = 0

    def all_exact(self) -> Version:
        """Returns the file in which everything visible is exact."""
        return self.cover(lossless_layers(self.rgb, self.visible))

    def best(self, codes: Version) -> Version:
        """Returns the best way to write the picture, given that of codes alone."""
        bits = exact_bits(self.rgb)
        is_photo = (bits > FREQUENT_BITS) & (self._importance == 1)
        slope = float(self._errors(codes.painted)[is_photo].sum(dtype=np.float64)) / max(1, self._num_bytes(codes))
        weight = min(max(slope, self.weight), _MOST_WEIGHT * self.weight)
        return replace(self, weight=weight)._best(codes, bits)

    def _best(self, codes: Version, bits: NDArray[np.float32]) -> Version:
        best, patched = codes, self._with_patches(codes, bits) if self.options.exact == "auto" else []
        if patched and self._cost(patched[0]) < (1 - LEAST_GAIN) * self._cost(codes):
            best = patched[0]
        sizes = {self._num_bytes(version) for version in (best, *patched)}
        best = next(filter(None, (self._with_avif(best, size) for size in sorted(sizes, reverse=True))), best)
        best = self._even(best) or best
        if self.options.exact == "auto" and self.weight * _EXACT_SCALE * float(bits.sum()) / 8 < self._cost(best):
            exact = self.all_exact()
            is_small = self._num_bytes(exact) <= _EXACT_SHARE * self._num_bytes(best) + _EXACT_BYTES
            if self._fits(exact) and (is_small or self._cost(exact) < self._cost(best)):
                return exact
        return best

    def _with_avif(self, best: Version, limit: int) -> Version | None:
        """Returns an AVIF picture of at most `limit` bytes in place of the codes where it is clearly better than the best so far."""
        height, width = self.visible.shape
        if not self.avif or not can_encode_avif(width, height):
            return None
        error = self._expected_error(best)
        limit += _SMOOTH_BYTES * self.smooth
        if self.max_bytes is not None:
            limit = min(limit, self.max_bytes - (len(self.cover(Layers(avif=bytes(limit))).data) - limit))
        if not error or limit < 1:
            return None
        trial = quick_avif(self.rgb)
        expected = float(self._errors(decode_avif(trial, width, height)).sum(dtype=np.float64)) * (len(trial) / limit) ** _AVIF_POWER
        if expected > _AVIF_HOPE * error or (avif := avif_within(self.rgb, limit)) is None:
            return None
        other = self.cover(Layers(avif=avif))
        if self.smooth and self._drift(other) > _SMOOTH_DRIFT:
            others = [self.cover(Layers(avif=file)) for file in avifs_within(self.rgb, limit, _SMOOTH_QUALITIES)]
            other = min((other, *others), key=lambda one: (self.error(one), len(one.data)))
            avif = other.layers.avif or avif
        most_bytes = max(self._num_bytes(best), limit if self.smooth else 0)
        gain = _SMOOTH_AVIF_GAIN if self.smooth else _AVIF_GAIN
        is_better = len(avif) <= most_bytes and self.error(other) < (1 - gain) * error
        if not is_better and self._cost(other) >= (1 - LEAST_GAIN) * self._cost(best):
            return None
        return other if self._drift(other) <= _MOST_DRIFT else self._steadier_avif(avif, self._cost(best)) or other

    def _even(self, best: Version) -> Version | None:
        """Returns the mean colour alone where that costs less than the best so far: of a picture of one colour with faint noise."""
        if self.options.exact != "auto" or not self.visible.any():
            return None
        even = np.broadcast_to(np.rint(self.rgb[self.visible].mean(axis=0)).astype(np.uint8), self.rgb.shape)
        errors = np.abs(self.rgb[self.visible].astype(np.int16) - even[self.visible])
        if np.square(errors).mean(dtype=np.float64) > _EVEN_ERROR or errors.max() > _EVEN_LEVELS:
            return None
        other = self.cover(lossless_layers(even, self.visible))
        return other if self._fits(other) and self._cost(other) < (1 - LEAST_GAIN) * self._cost(best) else None

    def _steadier_avif(self, avif: bytes, cost: float) -> Version | None:
        """Returns a somewhat larger AVIF picture than one whose large areas are far off; None where theirs are, or it costs too much."""
        for _ in range(_STEADIER_TRIES):
            larger = avif_within(self.rgb, int(_STEADIER_STEP * len(avif)))
            if larger is None or self._cost(other := self.cover(Layers(avif=larger))) >= cost:
                return None
            if self._drift(other) <= _MOST_DRIFT:
                return other
            avif = larger
        return None

    def _with_patches(self, codes: Version, bits: NDArray[np.float32]) -> list[Version]:
        """Returns the file of exact patches above codes; none where no pixel is worth it, or all are."""
        errors, best = self._errors(codes.painted), (1 - LEAST_GAIN) * self._cost(codes)
        chosen: tuple[NDArray[np.bool_], tuple[Patch, ...]] | None = None
        masks = [choose_exact(scale * bits, errors, self._ink, self.weight / 8) for scale in _SCALES]
        boxes = find_boxes(self.rgb)
        boxed = [choose_boxes(boxes, scale * bits, errors, self.weight / 8) for scale in _SCALES]
        tried = np.zeros_like(self.visible)
        for mask in (*masks, *(large_areas(mask, self._ink) for mask in masks), *boxed):
            if np.array_equal(mask, tried) or mask.all():
                continue
            left = float(errors[~mask].sum(dtype=np.float64))
            if not mask.any() or left + self.weight * _SCALES[0] * float(bits[mask].sum()) / 8 > best:
                continue
            tried, patches = mask, exact_patches(self.rgb, mask)
            cost = left + self.weight * (self._num_bytes(codes) * _LEFT_SHARE + sum(len(patch.bitstream) for patch in patches))
            if cost < best:
                chosen, best = (mask, patches), cost
        if chosen is None:
            return []
        mask, patches = chosen
        return [self.encode(fill_smoothly(self.rgb, self.visible & ~mask), free_places(hidden_places(mask)), Layers(patches))]

    @cached_property
    def _ink(self) -> NDArray[np.bool_]:
        return ink_of(self.rgb)

    @cached_property
    def _importance(self) -> NDArray[np.float32]:
        return np.where(self.visible, importance(self._ink), 0).astype(np.float32)

    def _errors(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        difference = picture.astype(np.float32) - self.rgb
        return np.asarray(np.square(difference).sum(axis=2) * self._importance, np.float32)

    def error(self, version: Version) -> float:
        """Returns the squared error of a version, summed over R, G and B and all pixels, each as it shows."""
        return float(self._errors(self._picture(version)).sum(dtype=np.float64))

    def _drift(self, version: Version) -> float:
        """Returns the largest error of the mean colour of a large area, in levels."""
        difference = (self._picture(version).astype(np.float32) - self.rgb) * self.visible[:, :, None]
        return worst_block(place_means(difference))

    def _picture(self, version: Version) -> NDArray[np.uint8]:
        height, width = self.visible.shape
        return decode_layers(version.layers, width, height).paste(version.painted)

    def _cost(self, version: Version) -> float:
        return self._expected_error(version) + self.weight * min(self._num_bytes(version), self._most_bytes)

    def _expected_error(self, version: Version) -> float:
        """Returns the error of a version, or about that at the limit of one that exceeds it: errors are about inverse to bytes."""
        if self.must_fit and not self._fits(version):
            return float("inf")
        return self.error(version) * max(1.0, self._num_bytes(version) / self._most_bytes)

    @property
    def _most_bytes(self) -> float:
        return float("inf") if self.max_bytes is None else max(1, self.max_bytes - self.tag_bytes)

    def _num_bytes(self, version: Version) -> int:
        return len(version.data) - self.tag_bytes

    def _fits(self, version: Version) -> bool:
        return self.max_bytes is None or len(version.data) <= self.max_bytes


def wants_layers(rgb: NDArray[np.uint8], options: LayerOptions) -> bool:
    """Tells whether layers are worth a try for a picture, uint8 [H, W, 3]."""
    return options.layers and may_be_graphics(rgb)


def hidden_places(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Returns the places [H / 8, W / 8] of the top map that lie under exact pixels, given the mask [H, W] of those."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % PLACE_PX), (0, -width % PLACE_PX)), constant_values=True)
    return np.asarray(padded.reshape(padded.shape[0] // PLACE_PX, PLACE_PX, -1, PLACE_PX).all(axis=(1, 3)))


def free_places(hidden: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Returns which of the hidden places of the top map, bool [H / 8, W / 8], are far from others."""
    places = hidden
    for _ in range(_REACH_PLACES):
        around = np.pad(places, 1, constant_values=True)
        rows = around[:-2] & around[1:-1] & around[2:]
        places = rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]
    return places
