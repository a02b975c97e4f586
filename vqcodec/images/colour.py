"""Colours of pixels: primaries, white and tone curve, ICC profiles that say the same, and conversion to sRGB.

Reading these from picture files is left to `colour_numbers`, and HDR to `tone_mapping`.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Point: TypeAlias = tuple[float, float]
"""Chromaticity x, y."""
Transfer: TypeAlias = float | Literal["srgb", "pq", "hlg"]
"""Tone curve: the exponent of a power, or a name."""

D65: Final[Point] = (0.3127, 0.3290)
SRGB_PRIMARIES: Final = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_D50_XYZ: Final = (0.9642, 1.0, 0.8249)
_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_SAME_POINT: Final = 0.003
"""Points that differ by no more are the same: files round them to two or three places."""
_SAME_LEVELS: Final = 1
"""A profile that moves no colour by more levels is that of sRGB."""
_PROFILE_CLASSES: Final = ("mntr", "scnr", "prtr", "spac")
_SPACE_NAMES: Final = {"RGB ": "an RGB", "GRAY": "a grey", "CMYK": "a CMYK", "Lab ": "a Lab", "XYZ ": "an XYZ"}


@dataclass(frozen=True)
class Colours:
    """What the samples of RGB pixels mean.

    Attributes:
        primaries: chromaticities of red, green and blue.
        white: chromaticity of white.
        transfer: tone curve from samples to light.
    """

    primaries: tuple[Point, Point, Point] = SRGB_PRIMARIES
    white: Point = D65
    transfer: Transfer = "srgb"

    @property
    def has_srgb_primaries(self) -> bool:
        """Whether primaries and white are those of sRGB, as far as files state them."""
        own, expected = (*self.primaries, self.white), (*SRGB_PRIMARIES, D65)
        return bool(np.abs(np.subtract(own, expected)).max() <= _SAME_POINT)

    @property
    def is_hdr(self) -> bool:
        """Whether the samples are those of HDR."""
        return self.transfer in ("pq", "hlg")


ADOBE_RGB: Final = Colours(((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), D65, 2.19921875)
PROPHOTO: Final = Colours(((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)), (0.3457, 0.3585), 1.8)


def rgb_to_xyz(colours: Colours) -> NDArray[np.float64]:
    """Returns the matrix [3, 3] from linear RGB to XYZ under the colours' own white.

    Raises:
        ValueError: The primaries span no colours, or lie outside of what can be seen by far.
    """
    points = np.array([*colours.primaries, colours.white])
    if not np.isfinite(points).all() or np.abs(points).max() > 2 or colours.white[1] <= 0:
        raise ValueError("primaries and white that are no chromaticities")
    xyz = np.column_stack([points[:, 0], points[:, 1], 1 - points.sum(axis=1)])
    if abs(np.linalg.det(xyz[:3])) < 1e-3:
        raise ValueError("primaries that span no colours")
    matrix: NDArray[np.float64] = xyz[:3].T * np.linalg.solve(xyz[:3].T, xyz[3] / colours.white[1])
    return matrix


def adaptation(white: Point, target_xyz: tuple[float, float, float] = _D50_XYZ) -> NDArray[np.float64]:
    """Returns Bradford's matrix [3, 3] from XYZ under a white to XYZ under another, by default that of profiles, D50."""
    own = _BRADFORD @ np.array([white[0] / white[1], 1, (1 - white[0] - white[1]) / white[1]])
    matrix: NDArray[np.float64] = np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ np.array(target_xyz) / own) @ _BRADFORD
    return matrix


def profile_of(colours: Colours, *, is_grey: bool) -> bytes | None:
    """Returns an ICC profile, version 4.2, of pixels of these colours, or None for those of sRGB.

    Raises:
        ValueError: The colours make no sense.
    """
    assert not colours.is_hdr
    if colours.transfer == "srgb" and (is_grey or colours.has_srgb_primaries):
        return None
    if colours.transfer == "srgb":
        curve = _tag(b"para", struct.pack(">HH", 3, 0), *map(_fixed, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)))
    elif 0.1 <= (gamma := float(colours.transfer)) <= 10:
        curve = _tag(b"para", struct.pack(">HH", 0, 0), _fixed(gamma))
    else:
        raise ValueError(f"a tone curve of gamma {gamma:g}")
    tags = {b"desc": _text("grey" if is_grey else "RGB"), b"cprt": _text("CC0"), b"wtpt": _xyz(_D50_XYZ)}
    if is_grey:
        tags[b"kTRC"] = curve
    else:
        to_xyz, to_d50 = rgb_to_xyz(colours), adaptation(colours.white)
        columns = (to_d50 @ to_xyz).T
        tags |= {b"chad": _tag(b"sf32", *map(_fixed, to_d50.ravel()))}
        tags |= {letter + b"XYZ": _xyz(column) for letter, column in zip((b"r", b"g", b"b"), columns, strict=True)}
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return _profile_file(b"GRAY" if is_grey else b"RGB ", tags)


def _profile_file(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Returns a display profile with these tags; equal tags are stored once."""
    start = 128 + 4 + 12 * len(tags)
    places: dict[bytes, int] = {}
    for body in tags.values():
        places.setdefault(body, start + sum(map(len, places)))
    table = b"".join(name + struct.pack(">II", places[body], len(body)) for name, body in tags.items())
    size = start + sum(map(len, places))
    made = struct.pack(">6H", 2020, 1, 1, 0, 0, 0)
    head = struct.pack(">3I", size, 0, 0x04200000) + b"mntr" + space + b"XYZ " + made + b"acsp" + bytes(28)
    head += _xyz(_D50_XYZ)[8:] + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + b"".join(places)


def _tag(kind: bytes, *parts: bytes) -> bytes:
    body = kind + bytes(4) + b"".join(parts)
    return body + bytes(-len(body) % 4)


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values: Any) -> bytes:
    return _tag(b"XYZ ", *map(_fixed, values))


def _text(text: str) -> bytes:
    return _tag(b"mluc", struct.pack(">II2s2sII", 1, 12, b"en", b"US", 2 * len(text), 28), text.encode("utf-16-be"))


@lru_cache(maxsize=16)
def profile_problem(profile: bytes, *, is_grey: bool) -> str:
    """Returns why a profile is not one of such pixels, as "a CMYK profile on RGB pixels"; empty where it is."""
    pixels = "grey" if is_grey else "RGB"
    try:
        found = ImageCms.ImageCmsProfile(BytesIO(profile)).profile
        space, kind = found.xcolor_space, found.device_class
        if space != ("GRAY" if is_grey else "RGB "):
            return f"{_SPACE_NAMES.get(space, f'a {space.strip()}')} profile on {pixels} pixels"
        if kind not in _PROFILE_CLASSES:
            return f"a profile of the class {kind!r}, which describes no pixels"
        convert_to_srgb(np.zeros((1, 1) if is_grey else (1, 1, 3), np.uint8), profile)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        return f"damaged: {' '.join(str(error).split())}"
    return ""


@lru_cache(maxsize=16)
def is_srgb(profile: bytes, *, is_grey: bool) -> bool:
    """Returns whether a profile that fits the pixels says what sRGB says: it moves no colour of a grid by more than a level."""
    if is_grey:
        colours = np.arange(256, dtype=np.uint8)[None]
    else:
        levels = np.arange(0, 256, 17, dtype=np.uint8)
        ramps = np.kron(np.eye(3, dtype=np.uint8), np.arange(256, dtype=np.uint8)[:, None])
        greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
        colours = np.vstack([np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3), ramps, greys])[None]
    intents = (ImageCms.Intent.PERCEPTUAL, ImageCms.Intent.RELATIVE_COLORIMETRIC)
    moved = [np.abs(convert_to_srgb(colours, profile, intent).astype(int) - colours).max() for intent in intents]
    return bool(max(moved) <= _SAME_LEVELS)


def convert_to_srgb(pixels: NDArray[np.uint8], profile: bytes, intent: ImageCms.Intent = ImageCms.Intent.PERCEPTUAL) -> NDArray[np.uint8]:
    """Returns pixels, uint8 [H, W] grey or [H, W, 3] RGB, converted from a profile that fits them to sRGB.

    Raises:
        PyCMSError, OSError: The profile cannot be used.
    """
    is_grey = pixels.ndim == 2
    converted = ImageCms.profileToProfile(
        Image.fromarray(np.ascontiguousarray(pixels)),
        ImageCms.ImageCmsProfile(BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=intent,
        outputMode="RGB",
        flags=ImageCms.Flags.NOOPTIMIZE,  # optimised curves are up to 10 levels off in dark places
    )
    array = np.asarray(converted)
    return np.ascontiguousarray(array[:, :, 1]) if is_grey else array


def srgb_of_light(light: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Returns samples of sRGB, uint8, of linear light, where 1 is white; what is outside of 0..1 is clipped."""
    clipped = np.clip(light, 0, 1)
    samples = np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)
    levels: NDArray[np.uint8] = np.rint(samples * 255).astype(np.uint8)
    return levels
