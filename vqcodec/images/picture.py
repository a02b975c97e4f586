"""Pillow <-> arrays: colour modes, alpha, colour profiles, orientation. The only reader and writer of picture files outside the benchmark.

Every picture becomes 8-bit grey or RGB, with or without alpha, or is refused in one line, as far as Pillow tells what its colours are: of
PNG's cICP and AVIF's nclx it does not, so pictures that are described by these alone, without an ICC profile, pass for sRGB.
"""

import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from vqcodec.errors import FormatError, ImageError
from vqcodec.format.container import MAX_ICC_BYTES, MAX_PIXELS, MAX_SIDE_PX

IMAGE_SUFFIXES: Final = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"}
)
_FORMATS: Final = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
_WITH_ALPHA: Final = ("AVIF", "JPEG2000", "PNG", "TIFF", "WEBP")
_WITH_PROFILE: Final = ("AVIF", "JPEG", "PNG", "TIFF", "WEBP")
_GREY_ONLY: Final = (".pgm",)
_WRITTEN: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    ".avif": ("AVIF", {"quality": 95}),
    ".bmp": ("BMP", {}),
    ".jp2": ("JPEG2000", {}),
    ".jpeg": ("JPEG", {"quality": 95}),
    ".jpg": ("JPEG", {"quality": 95}),
    ".pgm": ("PPM", {}),
    ".png": ("PNG", {}),
    ".ppm": ("PPM", {}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
    ".webp": ("WEBP", {"lossless": True}),
}
_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_SAMPLE_FORMAT, _TIFF_WHITE_IS_ZERO = 258, 262, 339, 0
_GAMMA_OF_SRGB: Final = (0.4, 0.5)
"""What a PNG of sRGB pixels may say."""
_SIXTEEN_BIT_MODES: Final = ("I;16", "I;16B", "I;16L", "I;16N", "I")


@dataclass(frozen=True)
class Picture:
    """A picture as the codec sees it.

    Attributes:
        pixels: uint8 [H, W] grey or [H, W, 3] RGB.
        alpha: uint8 [H, W], or None.
        icc_profile: the colour profile that `pixels` are in, or None (sRGB is then assumed, as everywhere).

    Raises:
        ImageError: larger than a .vq file can hold (FORMAT.md, section 9), or with a larger profile.
    """

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None
    icc_profile: bytes | None = None

    def __post_init__(self) -> None:
        height, width = self.pixels.shape[:2]
        if max(height, width) > MAX_SIDE_PX or height * width > MAX_PIXELS:
            raise ImageError(f"picture of {width}x{height} pixels, expected sides up to {MAX_SIDE_PX} and {MAX_PIXELS} pixels at most")
        if self.icc_profile is not None and len(self.icc_profile) > MAX_ICC_BYTES:
            raise ImageError(f"colour profile of {len(self.icc_profile)} bytes, expected {MAX_ICC_BYTES} at most")

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """uint8 [H, W, 3]; grey is repeated."""
        return np.repeat(self.pixels[:, :, None], 3, axis=2) if self.pixels.ndim == 2 else self.pixels


def read_picture(source: Path | BinaryIO, *, name: str | None = None) -> Picture:
    """Reads a picture file that Pillow knows.

    Raises:
        ImageError: unreadable, animated, or of a colour mode that cannot be encoded faithfully. The message begins with `name`.
    """
    label = str(source) if name is None else name
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(source, formats=_FORMATS) as image:
                return picture_from_pil(image)
    except UnidentifiedImageError as error:
        raise ImageError(f"{label}: not a picture of a known format, expected one of {', '.join(_FORMATS)}") from error
    except ImageError as error:
        raise ImageError(f"{label}: {error}") from error
    except FileNotFoundError as error:
        raise ImageError(f"{label}: no such file") from error
    except Exception as error:  # a damaged picture makes Pillow raise almost anything
        raise ImageError(f"{label}: cannot be read: {_one_line(error)}") from error


def write_picture(picture: Picture, suffix: str) -> bytes:
    """The bytes of a picture file in the format of `suffix`, such as ".png", with the picture's profile.

    Raises:
        ImageError: a suffix that `check_suffix` refuses, or a format that cannot hold the picture's colours, alpha or profile.
    """
    check_suffix(suffix)
    file_format, options = _WRITTEN[suffix.lower()]
    if suffix.lower() in _GREY_ONLY and picture.pixels.ndim != 2:
        raise ImageError(f"a {suffix} file cannot hold the picture's colours, expected for example .png or .ppm")
    for is_there, able, what in [
        (picture.alpha is not None, _WITH_ALPHA, "transparency"),
        (picture.icc_profile is not None, _WITH_PROFILE, "colour profile"),
    ]:
        if is_there and file_format not in able:
            raise ImageError(f"a {suffix} file cannot hold the picture's {what}, expected for example .png")
    out = BytesIO()
    try:
        picture_to_pil(picture).save(out, format=file_format, icc_profile=picture.icc_profile, **options)
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot write a picture as {suffix}: {_one_line(error)}") from error
    return out.getvalue()


def check_suffix(suffix: str) -> None:
    """Raises ImageError unless pictures can be written with this suffix."""
    if suffix.lower() not in _WRITTEN:
        raise ImageError(
            f"cannot write a picture {f'as {suffix!r}' if suffix else 'to a name without suffix'}, expected one of {', '.join(_WRITTEN)}"
        )


def picture_from_pil(image: Image.Image) -> Picture:
    """Applies the EXIF orientation and brings a Pillow image to 8-bit grey or RGB.

    Palettes become RGB; 16-bit grey is rounded to 8 bit, of 16-bit RGB Pillow keeps the upper 8; CMYK goes through its own profile to sRGB.

    Raises:
        ImageError: animated, empty, or in a mode whose colours are not defined.
    """
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise ImageError(f"{getattr(image, 'n_frames', 'several')} frames, expected a still picture")
    if 0 in image.size:
        raise ImageError(f"picture of {image.width}x{image.height} pixels, expected at least 1x1")
    profile = image.info.get("icc_profile") or None
    file_format = image.format
    _check_samples(image)
    image = ImageOps.exif_transpose(image)
    if image.mode in _SIXTEEN_BIT_MODES:
        return _sixteen_bit_picture(image, file_format, profile)
    if image.mode == "1" and "transparency" in image.info:
        raise ImageError("a picture of 1 bit a pixel with transparency; convert it to grey with alpha first")
    if image.mode == "CMYK":
        image, profile = _cmyk_to_srgb(image, profile), None
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode in ("P", "PA", "RGBa", "RGBX", "La") or "transparency" in image.info:
        image = image.convert(_mode_without_loss(image))
    elif image.mode == "YCbCr":
        image = image.convert("RGB")
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise ImageError(f"colour mode {image.mode}, expected grey, RGB, palette or CMYK; convert it to RGB first")
    array = np.asarray(image)
    if image.mode == "LA":
        return Picture(array[:, :, 0], array[:, :, 1], profile)
    if image.mode == "RGBA":
        return Picture(array[:, :, :3], array[:, :, 3], profile)
    return Picture(array, None, profile)


def picture_to_pil(picture: Picture) -> Image.Image:
    """A Pillow image of mode L, LA, RGB or RGBA, with `info["icc_profile"]` where there is one."""
    image = Image.fromarray(np.ascontiguousarray(picture.pixels))
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(np.ascontiguousarray(picture.alpha)))
    if picture.icc_profile is not None:
        image.info["icc_profile"] = picture.icc_profile
    return image


def picture_from_any(image: Image.Image | NDArray[np.uint8]) -> Picture:
    """A Pillow image, or a uint8 array [H, W] or [H, W, 3], as a `Picture`.

    Raises:
        TypeError: neither.
        ValueError: an array of another dtype or shape, or an empty one.
        ImageError: a Pillow image that cannot be encoded faithfully.
    """
    if isinstance(image, Image.Image):
        try:
            return picture_from_pil(image)
        except ImageError:
            raise
        except Exception as error:
            raise ImageError(f"picture cannot be read: {_one_line(error)}") from error
    if not isinstance(image, np.ndarray):
        raise TypeError(f"image must be a Pillow image or a numpy array, not {type(image).__name__}")
    is_shaped = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not is_shaped or image.size == 0:
        raise ValueError(f"array must be uint8 [H, W, 3] or [H, W], not {image.dtype} {list(image.shape)}")
    return Picture(image)


def alpha_to_png(alpha: NDArray[np.uint8]) -> bytes:
    """A PNG of the alpha plane, uint8 [H, W]: lossless."""
    out = BytesIO()
    Image.fromarray(np.ascontiguousarray(alpha)).save(out, format="PNG", optimize=True)
    return out.getvalue()


def alpha_from_png(data: bytes, *, width: int, height: int) -> NDArray[np.uint8]:
    """The alpha plane uint8 [height, width] of `alpha_to_png`.

    Raises:
        FormatError: not an 8-bit grey PNG of this size.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(data), formats=("PNG",)) as image:
                if image.size != (width, height) or (image.mode, _raw_mode(image)) != ("L", "L"):
                    raise FormatError(f"alpha plane is {_raw_mode(image)} {image.width}x{image.height}, expected L {width}x{height}")
                return np.asarray(image)
    except FormatError:
        raise
    except Exception as error:
        raise FormatError(f"alpha plane cannot be read: {_one_line(error)}") from error


def _mode_without_loss(image: Image.Image) -> str:
    has_alpha = "transparency" in image.info or image.mode in ("PA", "RGBa", "La")
    is_grey = image.mode in ("L", "La")
    return {(True, True): "LA", (True, False): "L", (False, True): "RGBA", (False, False): "RGB"}[is_grey, has_alpha]


def _check_samples(image: Image.Image) -> None:
    if image.format == "TIFF":
        _check_tiff(image)
    elif image.format == "PNG":
        _check_png(image)


def _check_png(image: Image.Image) -> None:
    """Refuses samples far from sRGB's, transparent colours that Pillow compares with samples of another depth, and grey as RGB."""
    gamma = image.info.get("gamma")
    if gamma is not None and not {"icc_profile", "srgb"} & image.info.keys() and not _GAMMA_OF_SRGB[0] <= gamma <= _GAMMA_OF_SRGB[1]:
        raise ImageError(f"PNG of gamma {gamma:g}, expected 0.45455, that of sRGB; convert it to sRGB first")
    raw_mode = _raw_mode(image)
    if "transparency" in image.info and raw_mode in ("L;2", "L;4", "RGB;16B"):
        raise ImageError(f"PNG of {raw_mode} samples with a transparent colour; convert it to 8 bits with an alpha channel first")
    if raw_mode == "LA;16B":
        raise ImageError("PNG of 16-bit grey with alpha; convert it to 8 bits first")


def _raw_mode(image: Image.Image) -> str:
    """What Pillow calls the samples as a PNG file stores them; nothing for pixels that are in memory."""
    tiles = getattr(image, "tile", [])
    return str(tiles[0].args) if tiles else ""


def _check_tiff(image: Image.Image) -> None:
    """Refuses samples that Pillow hands out unscaled or uninverted."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_TIFF_BITS, (1,))
    depth = max(bits) if isinstance(bits, tuple) else bits
    if depth not in (1, 2, 4, 8, 16):
        raise ImageError(f"TIFF of {depth} bits a sample, expected 8 or 16")
    if tags.get(_TIFF_SAMPLE_FORMAT, (1,))[0] not in (1, 4):
        raise ImageError("TIFF of signed or floating-point samples, expected unsigned ones")
    if depth == 16 and tags.get(_TIFF_PHOTOMETRIC) == _TIFF_WHITE_IS_ZERO:
        raise ImageError("16-bit TIFF in which 0 is white; convert it to one in which 0 is black")


def _sixteen_bit_picture(image: Image.Image, file_format: str | None, profile: bytes | None) -> Picture:
    if image.mode == "I" and file_format not in (None, "PNG", "PPM"):
        raise ImageError(f"32-bit grey values in a {file_format} file: their range is not known; convert it to 16 bit first")
    values = np.asarray(image)
    transparent = image.info.get("transparency")
    alpha = None if transparent is None else np.where(values == transparent, 0, 255).astype(np.uint8)
    return Picture(_reduce_to_8_bit(values), alpha, profile)


def _reduce_to_8_bit(values: NDArray[np.integer]) -> NDArray[np.uint8]:
    wide = values.astype(np.int64)
    if wide.min() < 0 or wide.max() > 0xFFFF:
        raise ImageError(f"grey values of {wide.min()}..{wide.max()}, expected 0..65535")
    return ((wide * 255 + 32767) // 65535).astype(np.uint8)


def _cmyk_to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile is None:
        raise ImageError("CMYK without a colour profile: its colours are not defined; convert it to RGB first")
    try:
        converted = ImageCms.profileToProfile(
            image, ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError) as error:
        raise ImageError(f"CMYK with an unusable colour profile: {_one_line(error)}") from error
    assert converted is not None
    return converted


def _one_line(error: BaseException) -> str:
    system = error.strerror.lower() if isinstance(error, OSError) and error.strerror else ""
    return system or " ".join(str(error).split()) or type(error).__name__
