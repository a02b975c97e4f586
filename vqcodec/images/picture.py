"""Reading and writing pictures: colour modes, alpha, colour profiles and orientation. Other modules read and write pictures here alone.

Every picture becomes 8-bit grey or RGB, with or without alpha, or is refused in one line. Pillow does not tell of PNG's cICP and AVIF's
nclx, so a picture whose colours are described by these alone, without an ICC profile, is taken for sRGB.
"""

import sys
import warnings
from dataclasses import dataclass
from io import BytesIO, TextIOBase
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from vqcodec.errors import FormatError, ImageError
from vqcodec.format.container import MAX_ICC_BYTES, MAX_PIXELS, MAX_SIDE_PX
from vqcodec.images.samples import check_samples, raw_mode

if TYPE_CHECKING:
    from torch import Tensor

ImageLike: TypeAlias = "Image.Image | NDArray[np.uint8] | Tensor | str | PathLike[str] | BinaryIO"
"""Images that `picture_from_any` takes."""

IMAGE_SUFFIXES: Final = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"}
)
"""Suffixes, in lower case, of the pictures in a folder."""
_FORMATS: Final = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
_ALPHA_FORMATS: Final = ("AVIF", "JPEG2000", "PNG", "TIFF", "WEBP")
_PROFILE_FORMATS: Final = ("AVIF", "JPEG", "PNG", "TIFF", "WEBP")
_GREY_SUFFIXES: Final = (".pgm",)
"""Suffixes of formats that hold grey pictures alone."""
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
_SIXTEEN_BIT_MODES: Final = ("I;16", "I;16B", "I;16L", "I;16N", "I")


@dataclass(frozen=True)
class Picture:
    """A picture as the codec sees it.

    Attributes:
        pixels: uint8 [H, W] grey or [H, W, 3] RGB.
        alpha: uint8 [H, W] alpha plane, 255 where the picture is opaque; None where it has none.
        icc_profile: colour profile of `pixels`, or None for sRGB.

    Raises:
        ImageError: The picture or its profile is larger than a .vq file can hold (FORMAT.md, section 9).
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
        """The pixels as uint8 [H, W, 3]; grey is repeated."""
        return np.repeat(self.pixels[:, :, None], 3, axis=2) if self.pixels.ndim == 2 else self.pixels


def read_picture(source: Path | BinaryIO, *, name: str | None = None) -> Picture:
    """Reads a picture file.

    Args:
        source: path of the file, or the file itself, open for reading bytes.
        name: name of the file in messages; by default its path.

    Raises:
        ImageError: The file cannot be read, is animated, or has a colour mode that cannot be encoded faithfully.
    """
    label = name or str(source if isinstance(source, Path) else getattr(source, "name", "picture"))
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
    """Returns the bytes of a picture file in the format of `suffix`, such as ".png", with the picture's alpha plane and profile.

    Raises:
        ImageError: No picture can be written with this suffix, or its format cannot hold the picture's colours, alpha or profile.
    """
    check_suffix(suffix)
    file_format, options = _WRITTEN[suffix.lower()]
    if suffix.lower() in _GREY_SUFFIXES and picture.pixels.ndim != 2:
        raise ImageError(f"a {suffix} file cannot hold the picture's colours, expected for example .png or .ppm")
    for is_there, able, what in [
        (picture.alpha is not None, _ALPHA_FORMATS, "transparency"),
        (picture.icc_profile is not None, _PROFILE_FORMATS, "colour profile"),
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
    """Checks that pictures can be written with a suffix.

    Raises:
        ImageError: No format that is written has this suffix.
    """
    if suffix.lower() not in _WRITTEN:
        raise ImageError(
            f"cannot write a picture {f'as {suffix!r}' if suffix else 'to a name without a suffix'}, expected one of {', '.join(_WRITTEN)}"
        )


def picture_from_pil(image: Image.Image) -> Picture:
    """Applies the EXIF orientation of a Pillow image, and brings it to 8-bit grey or RGB.

    Palettes become RGB. 16-bit grey is rounded to 8 bits; of 16-bit RGB, Pillow keeps the upper 8 bits. CMYK is converted to sRGB by its
    profile.

    Raises:
        ImageError: The image is animated or empty, or has a mode whose colours are not defined.
    """
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise ImageError(f"{getattr(image, 'n_frames', 'several')} frames, expected a still picture")
    if 0 in image.size:
        raise ImageError(f"picture of {image.width}x{image.height} pixels, expected at least 1x1")
    profile = image.info.get("icc_profile") or None
    file_format = image.format
    check_samples(image)
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
    """Returns a Pillow image of mode L, LA, RGB or RGBA, with `info["icc_profile"]` where the picture has a profile."""
    image = Image.fromarray(np.ascontiguousarray(picture.pixels))
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(np.ascontiguousarray(picture.alpha)))
    if picture.icc_profile is not None:
        image.info["icc_profile"] = picture.icc_profile
    return image


def picture_from_any(image: ImageLike) -> Picture:
    """Returns the `Picture` of anything that holds or names an image.

    Args:
        image: Pillow image; uint8 array [H, W] grey, [H, W, 3] RGB or [H, W, 4] RGBA; torch uint8 tensor [3, H, W]; path of a picture
            file; or a picture file that is open for reading bytes.

    Raises:
        TypeError: Anything else.
        ImageError: An image that cannot be read, or cannot be encoded faithfully.
    """
    if isinstance(image, Image.Image):
        return _picture_of_open_image(image)
    if isinstance(image, str | PathLike):
        return read_picture(Path(image))
    if isinstance(image, np.ndarray):
        return _picture_of_array(image)
    torch = sys.modules.get("torch")  # where it was never imported, nothing is a tensor
    if torch is not None and isinstance(image, torch.Tensor):
        is_plain = image.layout is torch.strided and not image.is_meta
        if not is_plain or image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3 or not image.numel():
            raise _not_an_image(f"a {str(image.dtype).removeprefix('torch.')} tensor {list(image.shape)}")
        return Picture(image.detach().cpu().permute(1, 2, 0).numpy())
    file: Any = image
    if hasattr(file, "read") and not isinstance(file, TextIOBase):
        return read_picture(file)
    raise _not_an_image(f"an object of type {type(image).__name__}")


def _picture_of_open_image(image: Image.Image) -> Picture:
    file, is_loaded = getattr(image, "fp", None), not getattr(image, "tile", [])
    try:
        return picture_from_pil(image)
    except ImageError:
        raise
    except Exception as error:  # a damaged picture makes Pillow raise almost anything
        if "closed image" in str(error) or (not is_loaded and (file is None or file.closed)):
            raise ImageError("the Pillow image is closed, expected an open one, or one that was loaded before") from error
        raise ImageError(f"picture cannot be read: {_one_line(error)}") from error


def _picture_of_array(array: NDArray[Any]) -> Picture:
    is_plain = not isinstance(array, np.matrix | np.ma.MaskedArray)
    is_shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if not is_plain or array.dtype != np.uint8 or not is_shaped or not array.size:
        kind = "array" if is_plain else type(array).__name__
        raise _not_an_image(f"a {array.dtype} {kind} {list(array.shape)}")
    if array.ndim == 3 and array.shape[2] == 4:
        return Picture(np.asarray(array)[:, :, :3], np.asarray(array)[:, :, 3])
    return Picture(np.asarray(array))


def _not_an_image(given: str) -> TypeError:
    return TypeError(
        "image must be a Pillow image, a uint8 array [H, W], [H, W, 3] or [H, W, 4], a torch uint8 tensor [3, H, W], "
        f"a path or an open binary file, not {given}"
    )


def alpha_to_png(alpha: NDArray[np.uint8]) -> bytes:
    """Encodes an alpha plane, uint8 [H, W], as a PNG without loss."""
    out = BytesIO()
    Image.fromarray(np.ascontiguousarray(alpha)).save(out, format="PNG", optimize=True)
    return out.getvalue()


def alpha_from_png(data: bytes, *, width: int, height: int) -> NDArray[np.uint8]:
    """Decodes an alpha plane, uint8 [height, width], that `alpha_to_png` encoded.

    Raises:
        FormatError: The data are not an 8-bit grey PNG of this size.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(data), formats=("PNG",)) as image:
                if image.size != (width, height) or (image.mode, raw_mode(image)) != ("L", "L"):
                    raise FormatError(f"alpha plane is {raw_mode(image)} {image.width}x{image.height}, expected L {width}x{height}")
                return np.asarray(image)
    except FormatError:
        raise
    except Exception as error:
        raise FormatError(f"alpha plane cannot be read: {_one_line(error)}") from error


def _mode_without_loss(image: Image.Image) -> str:
    has_alpha = "transparency" in image.info or image.mode in ("PA", "RGBa", "La")
    is_grey = image.mode in ("L", "La")
    return {(True, True): "LA", (True, False): "L", (False, True): "RGBA", (False, False): "RGB"}[is_grey, has_alpha]


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
