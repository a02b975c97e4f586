"""Exact patches and AVIF pictures: encoding, decoding and pasting over what the codes paint (FORMAT.md, section 5)."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import takewhile
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import AvifImagePlugin, Image, features

from vqcodec.errors import FormatError
from vqcodec.format.avif import check_avif_size
from vqcodec.format.container import Part
from vqcodec.format.layers import Layers, Patch
from vqcodec.images.fill import repeat_hidden
from vqcodec.images.webp import MAX_SIDE_PX, check_still, damage_told, decode_webp, encode_webp
from vqcodec.silence import warnings_ignored

MOST_AT_ONCE_PX: Final = 1 << 24
"""Number of pixels of a picture up to which it is encoded without loss as a whole, since WebP's encoder takes some 30 bytes a pixel."""
_MOST_KEPT_PX: Final = 1 << 24
"""Number of pixels of decoded patches that are kept."""
_PART_PX: Final = 2048
"""Longest side of patches of larger pictures."""
_MAX_AVIF_SIDE_PX: Final = 1 << 14
"""Longest side of pictures that are encoded as AVIF, libavif's own limit."""
_AVIF_OPTIONS: Final[dict[str, Any]] = {"subsampling": "4:4:4", "advanced": {"tune": "psnr"}}
_SEARCH_SPEED, _FINAL_SPEED = 6, 4
"""Speeds of libavif's encoder: files of the second take longer, and are smaller at equal quality by about the next share."""
_FINAL_GAIN: Final = 0.04
_TRIAL_SPEED, _TRIAL_QUALITY = 8, 30
_BEST_AVIF_QUALITY: Final = 95


def exact_patches(rgb: NDArray[np.uint8], mask: NDArray[np.bool_]) -> tuple[Patch, ...]:
    """Encodes the pixels of a mask: patches that together hold the mask's bounding box, and smaller ones of pictures that are very large.

    Args:
        rgb: uint8 [H, W, 3].
        mask: bool [H, W], the pixels that are to be exact.
    """
    if not mask.any():
        return ()
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    patches, side = [], MAX_SIDE_PX if mask.size <= MOST_AT_ONCE_PX else _PART_PX
    for top in range(int(rows[0]), int(rows[-1]) + 1, side):
        for left in range(int(columns[0]), int(columns[-1]) + 1, side):
            box = slice(top, min(top + side, rows[-1] + 1)), slice(left, min(left + side, columns[-1] + 1))
            if num_exact := int(mask[box].sum()):
                patches.append(Patch(left, top, num_exact, _patch_bitstream(rgb[box], mask[box])))
    return tuple(patches)


def lossless_layers(rgb: NDArray[np.uint8], visible: NDArray[np.bool_]) -> Layers:
    """Returns layers that say all of a picture [H, W, 3] exactly, but for the colour of pixels that are not `visible`, bool [H, W]."""
    return Layers(exact_patches(repeat_hidden(rgb, visible), np.ones_like(visible)))


def _patch_bitstream(rgb: NDArray[np.uint8], mask: NDArray[np.bool_]) -> bytes:
    return encode_webp(rgb if mask.all() else np.dstack([np.where(mask[:, :, None], rgb, 0), mask * np.uint8(255)]))


def can_encode_avif(width: int, height: int) -> bool:
    """Tells whether pictures of this size can be encoded as AVIF: Pillow must have been built with it."""
    return bool(features.check("avif")) and max(width, height) <= _MAX_AVIF_SIDE_PX


def quick_avif(rgb: NDArray[np.uint8]) -> bytes:
    """Returns an AVIF file of middling quality of uint8 [H, W, 3] that is made fast, to see what AVIF makes of the picture."""
    return _avif_file(rgb, _TRIAL_QUALITY, _TRIAL_SPEED)


def avif_within(rgb: NDArray[np.uint8], max_bytes: int) -> bytes | None:
    """Encodes a picture as about the best AVIF file of at most `max_bytes`, or as the smallest where all have more.

    Args:
        rgb: uint8 [H, W, 3].
        max_bytes: most bytes that the file should have.

    Returns:
        The file; None where Pillow was built with an encoder whose files readers refuse.
    """
    limit = (1 + _FINAL_GAIN) * max_bytes
    above = bisect_left(range(_BEST_AVIF_QUALITY + 1), True, key=lambda quality: len(_avif_file(rgb, quality, _SEARCH_SPEED)) > limit)
    quality = max(above - 1, 0)
    while len(file := _avif_file(rgb, quality, _FINAL_SPEED)) > max_bytes and quality > 0:
        quality -= 1
    try:
        check_avif_size(file, rgb.shape[1], rgb.shape[0])
    except FormatError:
        return None
    return file


def avifs_within(rgb: NDArray[np.uint8], max_bytes: int, qualities: Iterable[int]) -> list[bytes]:
    """Encodes a picture, uint8 [H, W, 3], as AVIF files of rising qualities, up to the first that takes more than `max_bytes`."""
    return list(takewhile(lambda file: len(file) <= max_bytes, (_avif_file(rgb, quality, _FINAL_SPEED) for quality in qualities)))


def _avif_file(rgb: NDArray[np.uint8], quality: int, speed: int) -> bytes:
    out = BytesIO()
    Image.fromarray(rgb).save(out, "AVIF", quality=quality, speed=speed, **_AVIF_OPTIONS)
    return out.getvalue()


def decode_avif(data: bytes, width: int, height: int) -> NDArray[np.uint8]:
    """Decodes an AVIF picture of a known size into uint8 [H, W, 3].

    Raises:
        FormatError: It cannot be decoded, or has another size.
    """
    if not features.check("avif"):
        raise FormatError("the file has an AVIF layer, and this Pillow was built without AVIF")
    # `Image.open` would refuse more than `Image.MAX_IMAGE_PIXELS`, although this size is expected.
    with damage_told("AVIF layer"), warnings_ignored(), AvifImagePlugin.AvifImageFile(BytesIO(data)) as image:
        check_still(image.size, image.n_frames, (width, height), "AVIF layer")
        return np.array(image.convert("RGB"))


class PatchPixels(Sequence[tuple[NDArray[np.uint8], NDArray[np.bool_]]]):
    """The pixels, uint8 [h, w, 3], and the mask, bool [h, w], of each patch, decoded when asked for; those of the last ones are kept."""

    def __init__(self, patches: Sequence[Patch]) -> None:
        """Takes the patches."""
        self._patches = patches
        self._kept: dict[int, tuple[NDArray[np.uint8], NDArray[np.bool_]]] = {}
        self._kept_px = 0

    def __len__(self) -> int:
        return len(self._patches)

    def __getitem__(self, number: Any) -> Any:
        """Returns pixels and mask of a patch.

        Raises:
            FormatError: It cannot be decoded (`decode_patch`).
        """
        if number not in self._kept:
            decoded = decode_patch(self._patches[number])
            self._kept_px += decoded[1].size
            while self._kept and self._kept_px > _MOST_KEPT_PX:
                _, mask = self._kept.pop(next(iter(self._kept)))
                self._kept_px -= mask.size
            self._kept[number] = decoded
        return self._kept[number]


@dataclass(frozen=True)
class LayerPixels:
    """The pixels of layers.

    Attributes:
        layers: the layers.
        avif: uint8 [H, W, 3], the picture in place of the painted one, or None.
        patches: the pixels, uint8 [h, w, 3], and the mask, bool [h, w], of each patch.
    """

    layers: Layers
    avif: NDArray[np.uint8] | None
    patches: Sequence[tuple[NDArray[np.uint8], NDArray[np.bool_]]]

    def cover(self, width: int, height: int, top: int = 0, left: int = 0) -> bool:
        """Tells whether nothing can be seen of what the codes paint of a part of the picture.

        Args:
            width: width of the part in pixels.
            height: its height.
            top: row of its upper edge in the picture.
            left: column of its left edge.
        """
        if self.avif is not None or self.layers.num_exact < width * height:
            return self.avif is not None
        return bool(self.exact(height, width, top, left).all())

    def exact(self, height: int, width: int, top: int = 0, left: int = 0) -> NDArray[np.bool_]:
        """Returns which pixels of the picture or a part of it are exact, bool [height, width]; `top` and `left` are the part's place."""
        exact = np.zeros((height, width), bool)
        for number, inside, own in self._overlaps(height, width, top, left):
            exact[inside] |= self.patches[number][1][own]
        return exact

    def paste(self, painted: NDArray[np.uint8], top: int = 0, left: int = 0, *, in_place: bool = False) -> NDArray[np.uint8]:
        """Returns a picture with these layers.

        Args:
            painted: uint8 [H, W, 3], what the codes paint of the picture or a part of it; it does not matter where layers cover it.
            top: row of the part's upper edge in the picture.
            left: column of its left edge.
            in_place: whether `painted` is changed and returned, unless an AVIF picture stands in its place.
        """
        height, width = painted.shape[:2]
        pixels = painted
        if self.avif is not None:
            pixels = self.avif[top : top + height, left : left + width].copy()
        elif self.patches and not in_place:
            pixels = painted.copy()
        for number, inside, own in self._overlaps(height, width, top, left):
            rgb, mask = self.patches[number]
            np.copyto(pixels[inside], rgb[own], where=mask[own][:, :, None])
        return pixels

    def _overlaps(self, height: int, width: int, top: int, left: int) -> Iterator[tuple[int, Part, Part]]:
        """Yields the numbers of the patches that overlap a part of the picture, and where: in the part, in the patch."""
        for number, patch in enumerate(self.layers.patches):
            inside, own = _overlap(patch, (height, width), (top, left))
            if all(place.start < place.stop for place in own):
                yield number, inside, own


def _overlap(patch: Patch, size: tuple[int, int], place: tuple[int, int]) -> tuple[Part, Part]:
    """Returns where a patch overlaps a part of height and width `size` at row and column `place`: in the part, and in the patch."""
    shape = patch.size[::-1]
    starts = [max(edge, own) for edge, own in zip(place, (patch.top, patch.left), strict=True)]
    stops = [
        min(edge + side, own + own_side) for edge, side, own, own_side in zip(place, size, (patch.top, patch.left), shape, strict=True)
    ]
    ends = [(start, max(start, stop)) for start, stop in zip(starts, stops, strict=True)]
    (rows, columns), (own_rows, own_columns) = (
        [slice(start - origin, stop - origin) for (start, stop), origin in zip(ends, origins, strict=True)]
        for origins in (place, (patch.top, patch.left))
    )
    return (rows, columns), (own_rows, own_columns)


def decode_layers(layers: Layers, width: int, height: int, *, check: bool = True) -> LayerPixels:
    """Decodes the layers of a picture of width x height pixels.

    Args:
        layers: the layers.
        width: width of the picture in pixels.
        height: its height.
        check: whether every patch is decoded at once, to see whether it can be; else when it is needed.

    Raises:
        FormatError: A layer cannot be decoded, or is not what the file says.
    """
    avif = None if layers.avif is None else decode_avif(layers.avif, width, height)
    patches = PatchPixels(layers.patches)
    for number in range(len(patches) if check else 0):
        _ = patches[number]
    return LayerPixels(layers, avif, patches)


def decode_patch(patch: Patch) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Decodes a patch.

    Returns:
        Its pixels, uint8 [h, w, 3], and its mask, bool [h, w].

    Raises:
        FormatError: Its bitstream is damaged, holds another number of exact pixels, or pixels that are neither opaque nor transparent.
    """
    pixels = decode_webp(patch.bitstream, patch.size, "exact patch")
    alpha = pixels[:, :, 3]
    mask = alpha == 255
    if not (mask | (alpha == 0)).all():
        raise FormatError("an exact patch with half transparent pixels, expected opaque and transparent ones alone")
    if (found := int(mask.sum())) != patch.num_exact:
        raise FormatError(f"an exact patch with {found} exact pixels, expected {patch.num_exact}")
    return pixels[:, :, :3], mask
