"""Exact patches and AVIF pictures: encoding, decoding and pasting over what the codes paint (FORMAT.md, section 5)."""

import warnings
from bisect import bisect_left
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from vqcodec.errors import FormatError
from vqcodec.format.layers import MAX_PATCH_SIDE_PX, Layers, Patch

_RIFF_BYTES: Final = 20
"""Length of the headers of a WebP file before its bitstream."""
_MAX_AVIF_SIDE_PX: Final = 1 << 14
"""Longest side of pictures that are encoded as AVIF, libavif's own limit."""
_AVIF_OPTIONS: Final[dict[str, Any]] = {"subsampling": "4:4:4", "speed": 4, "advanced": {"tune": "psnr"}}
_BEST_AVIF_QUALITY: Final = 95


def exact_patches(rgb: NDArray[np.uint8], mask: NDArray[np.bool_]) -> tuple[Patch, ...]:
    """Encodes the pixels of a mask: patches that together hold the mask's bounding box.

    Args:
        rgb: uint8 [H, W, 3].
        mask: bool [H, W], the pixels that are to be exact.
    """
    if not mask.any():
        return ()
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    patches = []
    for top in range(rows[0], rows[-1] + 1, MAX_PATCH_SIDE_PX):
        for left in range(columns[0], columns[-1] + 1, MAX_PATCH_SIDE_PX):
            box = slice(top, min(top + MAX_PATCH_SIDE_PX, rows[-1] + 1)), slice(left, min(left + MAX_PATCH_SIDE_PX, columns[-1] + 1))
            if num_exact := int(mask[box].sum()):
                patches.append(Patch(left, top, num_exact, _lossless_bitstream(rgb[box], mask[box])))
    return tuple(patches)


def _lossless_bitstream(rgb: NDArray[np.uint8], mask: NDArray[np.bool_]) -> bytes:
    pixels = rgb if mask.all() else np.dstack([np.where(mask[:, :, None], rgb, 0), mask * np.uint8(255)])
    out = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "WEBP", lossless=True, quality=100, method=4)
    data = out.getvalue()
    if data[12:16] != b"VP8L":
        raise AssertionError(f"WebP of kind {data[12:16]!r}, expected the simple lossless one")
    return data[_RIFF_BYTES : _RIFF_BYTES + int.from_bytes(data[16:20], "little")]


def avif_within(rgb: NDArray[np.uint8], max_bytes: int) -> bytes | None:
    """Encodes a picture as the best AVIF file of at most `max_bytes`, or as the smallest where all have more.

    Args:
        rgb: uint8 [H, W, 3].
        max_bytes: most bytes that the file should have.

    Returns:
        The file; None where Pillow was built without AVIF, or the picture is too large for it.
    """
    if not features.check("avif") or max(rgb.shape[:2]) > _MAX_AVIF_SIDE_PX:
        return None
    image = Image.fromarray(rgb)
    files: list[bytes] = []

    def is_too_large(quality: int) -> bool:
        out = BytesIO()
        image.save(out, "AVIF", quality=quality, **_AVIF_OPTIONS)
        files.append(out.getvalue())
        return len(files[-1]) > max_bytes

    bisect_left(range(_BEST_AVIF_QUALITY + 1), True, key=is_too_large)
    fitting = [file for file in files if len(file) <= max_bytes]
    return max(fitting, key=len) if fitting else min(files, key=len)


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
    patches: list[tuple[NDArray[np.uint8], NDArray[np.bool_]]]

    def paste(self, painted: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Returns a picture with these layers.

        Args:
            painted: uint8 [H, W, 3], what the codes paint; it does not matter where layers cover the picture.
        """
        if not self.layers:
            return painted
        pixels = (painted if self.avif is None else self.avif).copy()
        for patch, (rgb, mask) in zip(self.layers.patches, self.patches, strict=True):
            target = pixels[patch.top : patch.top + rgb.shape[0], patch.left : patch.left + rgb.shape[1]]
            target[mask] = rgb[mask]
        return pixels


def decode_layers(layers: Layers, width: int, height: int) -> LayerPixels:
    """Decodes the layers of a picture of width x height pixels.

    Raises:
        FormatError: A layer cannot be decoded, or is not what the file says.
    """
    avif = None if layers.avif is None else _decode_avif(layers.avif, width, height)
    return LayerPixels(layers, avif, [decode_patch(patch) for patch in layers.patches])


def decode_patch(patch: Patch) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Decodes a patch.

    Returns:
        Its pixels, uint8 [h, w, 3], and its mask, bool [h, w].

    Raises:
        FormatError: Its bitstream is damaged, holds another number of exact pixels, or pixels that are neither opaque nor transparent.
    """
    padded = patch.bitstream + b"\0" * (len(patch.bitstream) % 2)
    chunk = b"VP8L" + len(patch.bitstream).to_bytes(4, "little") + padded
    pixels = _decode(b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk, "WEBP", patch.size, "exact patch")
    alpha = pixels[:, :, 3]
    mask = alpha == 255
    if not (mask | (alpha == 0)).all():
        raise FormatError("an exact patch with half transparent pixels, expected opaque and transparent ones alone")
    if (found := int(mask.sum())) != patch.num_exact:
        raise FormatError(f"an exact patch with {found} exact pixels, expected {patch.num_exact}")
    return pixels[:, :, :3], mask


def _decode_avif(data: bytes, width: int, height: int) -> NDArray[np.uint8]:
    if not features.check("avif"):
        raise FormatError("the file has an AVIF layer, and this Pillow was built without AVIF")
    return np.ascontiguousarray(_decode(data, "AVIF", (width, height), "AVIF layer")[:, :, :3])


def _decode(data: bytes, file_format: str, size: tuple[int, int], name: str) -> NDArray[np.uint8]:
    """Decodes a still picture of a known size into uint8 [H, W, 4]."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(data), formats=(file_format,)) as image:
                if image.size != size or getattr(image, "n_frames", 1) != 1:
                    found = f"{image.width}x{image.height} pixels and {getattr(image, 'n_frames', 1)} frames"
                    raise FormatError(f"an {name} of {found}, expected {size[0]}x{size[1]} and one")
                return np.asarray(image.convert("RGBA"))
    except FormatError:
        raise
    except Exception as error:  # a damaged picture makes Pillow raise almost anything
        raise FormatError(f"an {name} that cannot be decoded") from error
