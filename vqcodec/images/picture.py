"""Pictures, and how they are read: colour modes, alpha, colours and metadata are settled here.

Every picture becomes 8-bit grey or RGB, with or without alpha, of sRGB or of a stored colour profile, or is refused in one line.
"""

import sys
import warnings
from collections.abc import Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO, TextIOBase, UnsupportedOperation
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, TypeAlias, TypedDict, Unpack, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError

from vqcodec.checks import check_flag
from vqcodec.errors import ImageError
from vqcodec.format.container import MAX_ICC_BYTES, MAX_SIDE_PX
from vqcodec.format.limits import allowed_pixels, check_max_pixels, size_note
from vqcodec.images.alpha import settle_alpha
from vqcodec.images.colour import ADOBE_RGB, convert_to_srgb
from vqcodec.images.colour_management import settle_colours
from vqcodec.images.exif import EXIF_PREFIX, hide_avif_exif
from vqcodec.images.formats import FORMATS, PLUGINS, open_image, seekable
from vqcodec.images.modes import read_samples
from vqcodec.images.samples import has_lost_profile, is_upright, select_picture, stated_by_file, with_whole_palette
from vqcodec.images.tags import exif_of_srgb, fetch_tags, read_tags, without_position
from vqcodec.silence import warnings_ignored

if TYPE_CHECKING:
    from torch import Tensor

ImageLike: TypeAlias = "Image.Image | NDArray[np.uint8] | Tensor | str | PathLike[str] | BinaryIO"
"""Images that `picture_from_any` takes.

Pillow forgets colours that a file states in another way than by an ICC profile once it has loaded an image. Of a Pillow image that was
loaded before it is first encoded, they are read once more from the file that it was opened from, if that has a path and still holds a
picture of the same format, mode, size and profile. Otherwise they are unknown, as those of images that `convert`, `resize` or `copy`
returned: without an ICC profile in its `info`, such an image is taken for sRGB.
"""

_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings a picture of an EXIF orientation upright."""

Strip: TypeAlias = Literal["all", "exif", "xmp", "icc", "gps"]
"""Metadata that can be left out."""


class ReadOptions(TypedDict, total=False):
    """How a picture is read.

    Attributes:
        strip: metadata that are left out. Without its profile a picture is converted to sRGB; "gps" is the position alone.
        tone_map: whether an HDR picture is brought to sRGB, and not refused.
        first_frame: whether the first picture of an animation, or of a file of several pictures, is taken, and the file not refused.
        max_pixels: most pixels; None for those of the format, above `MANY_PIXELS` with a warning.
    """

    strip: Sequence[Strip]
    tone_map: bool
    first_frame: bool
    max_pixels: int | None


@dataclass(frozen=True)
class Picture:
    """A picture as the codec sees it.

    Attributes:
        pixels: uint8 [H, W] grey or [H, W, 3] RGB.
        alpha: uint8 [H, W] alpha plane, 255 where the picture is opaque; None where it has none.
        icc_profile: colour profile of `pixels`, or None for sRGB.
        exif: EXIF as a TIFF structure, of orientation 1, or None.
        xmp: XMP packet, or None.
        colour_note: where the colours are taken for others than the file states, what was found; else empty.
        notes: what of the file's metadata was dropped.

    Raises:
        ImageError: The picture or its profile is larger than a .vq file can hold (FORMAT.md, section 9).
    """

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None
    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    colour_note: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        height, width = self.pixels.shape[:2]
        _check_size(width, height)
        if self.icc_profile is not None and len(self.icc_profile) > MAX_ICC_BYTES:
            raise ImageError(f"colour profile of {len(self.icc_profile)} bytes, expected {MAX_ICC_BYTES} at most")

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """The pixels as uint8 [H, W, 3]; grey is repeated."""
        return np.repeat(self.pixels[:, :, None], 3, axis=2) if self.pixels.ndim == 2 else self.pixels

    @property
    def visible(self) -> NDArray[np.bool_]:
        """The pixels that can be seen, bool [H, W]: those whose alpha is not 0."""
        return np.ones(self.pixels.shape[:2], bool) if self.alpha is None else self.alpha > 0


def read_picture(source: Path | BinaryIO, *, name: str | None = None, **options: Unpack[ReadOptions]) -> Picture:
    """Reads a picture file.

    Args:
        source: path of the file, or the file itself, open for reading bytes.
        name: name of the file in messages; by default its path.
        options: those of `ReadOptions`.

    Raises:
        ImageError: The file cannot be read, is animated, is too large, or has a colour mode that cannot be encoded faithfully.
    """
    label = name or str(source if isinstance(source, Path) else getattr(source, "name", "picture"))
    _check_options(**options)
    try:
        return _picture_of_file(seekable(source), options)
    except UnidentifiedImageError as error:
        known = ", ".join((*FORMATS, *(plugin.name for plugin in PLUGINS)))
        raise ImageError(f"{label}: not a picture of a known format, expected one of {known}") from error
    except ImageError as error:
        raise ImageError(f"{label}: {error}") from error
    except FileNotFoundError as error:
        raise ImageError(f"{label}: no such file") from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged picture makes Pillow raise almost anything
        raise ImageError(f"{label}: cannot be read: {_one_line(error)}") from error


def _picture_of_file(source: Path | BinaryIO, options: ReadOptions) -> Picture:
    try:
        check_size = partial(_check_size, max_pixels=options.get("max_pixels"))
        with warnings_ignored(), open_image(source, check_size) as image:
            return picture_from_pil(image, **options)
    except ValueError as error:
        if "Invalid Exif payload" not in str(error):
            raise
        if not isinstance(source, Path):
            source.seek(0)
        data = source.read_bytes() if isinstance(source, Path) else source.read()
        if (hidden := hide_avif_exif(data)) == data:
            raise
        picture = _picture_of_file(BytesIO(hidden), options)
        return replace(picture, notes=("EXIF dropped: it is damaged", *picture.notes))


def picture_from_pil(
    image: Image.Image, *, strip: Sequence[Strip] = (), tone_map: bool = False, first_frame: bool = False, max_pixels: int | None = None
) -> Picture:
    """Applies the EXIF orientation of a Pillow image, and brings it to 8-bit grey or RGB.

    Palettes become RGB. 16-bit grey is rounded to 8 bits; of 16-bit RGB, Pillow keeps the upper 8 bits. CMYK is converted to sRGB by its
    profile. Colours under alpha 0 are filled from those around them. The options are those of `ReadOptions`.

    Raises:
        ImageError: The image is animated, empty or too large, or has a mode whose colours are not defined.
    """
    _check_size(*image.size, max_pixels)
    select_picture(image, first_frame=first_frame)
    _check_size(*image.size, max_pixels)
    profile: bytes | None = image.info.get("icc_profile") or None
    stated = stated_by_file(image)
    described = stated.colours
    fetch_tags(image)
    image.load()
    tags = read_tags(image)
    if described is None and profile is None and tags.colour_space == "adobe":
        described = ADOBE_RGB
    is_cmyk = image.mode == "CMYK"
    shown = with_whole_palette(image)
    is_turned = tags.orientation in _TURNS and not is_upright(image)
    pixels, alpha = read_samples(shown.transpose(_TURNS[tags.orientation]) if is_turned else shown, profile)
    pixels, alpha = settle_alpha(pixels, None if stated.is_opaque(image) else alpha)
    note = ""
    if is_cmyk:
        profile = None
    else:
        pixels, profile, note = settle_colours(pixels, profile if described is None else described, tone_map=tone_map)
        if described is None and profile is None and not image.info.get("icc_profile") and tags.colour_space == "uncalibrated":
            note = "EXIF says that the colours are not sRGB, but not what they are: taken for sRGB"
        if described is None and has_lost_profile(image):
            note = "colour profile dropped, colours taken for sRGB: it is damaged"
    exif, notes = exif_of_srgb(tags.exif) if profile is None else (tags.exif, [])
    return _stripped(Picture(pixels, alpha, profile, exif, tags.xmp, note, (*tags.notes, *notes)), strip)


def _check_options(
    *, strip: Sequence[Strip] = (), tone_map: bool = False, first_frame: bool = False, max_pixels: int | None = None
) -> None:
    for name, value in (("tone_map", tone_map), ("first_frame", first_frame)):
        check_flag(name, value)
    check_max_pixels(max_pixels)
    if not isinstance(strip, Sequence | Set) or isinstance(strip, str) or not all(name in get_args(Strip) for name in strip):
        raise ValueError(f"strip must be a list of some of {', '.join(get_args(Strip))}, not {strip!r}")


def _stripped(picture: Picture, strip: Sequence[Strip]) -> Picture:
    """Returns a picture without some metadata."""
    wanted = set(strip)
    if "gps" in wanted:
        exif, xmp, notes = without_position(picture.exif, picture.xmp)
        picture = replace(picture, exif=exif, xmp=xmp, notes=(*picture.notes, *notes))
    if wanted & {"icc", "all"}:
        picture = in_srgb(picture)
    if wanted & {"exif", "all"}:
        picture = replace(picture, exif=None)
    return replace(picture, xmp=None) if wanted & {"xmp", "all"} else picture


def in_srgb(picture: Picture) -> Picture:
    """Returns a picture in sRGB, without a profile.

    Raises:
        ImageError: Its profile cannot be used.
    """
    if picture.icc_profile is None:
        return picture
    exif, notes = exif_of_srgb(picture.exif)
    try:
        pixels = convert_to_srgb(picture.pixels, picture.icc_profile)
    except (ImageCms.PyCMSError, OSError) as error:
        raise ImageError(f"colour profile that cannot be used, expected one of the picture's colours: {_one_line(error)}") from error
    return replace(picture, pixels=pixels, icc_profile=None, exif=exif, notes=(*picture.notes, *notes))


def picture_to_pil(picture: Picture) -> Image.Image:
    """Returns a Pillow image of mode L, LA, RGB or RGBA, with profile, EXIF and XMP in its `info`."""
    image = Image.fromarray(np.ascontiguousarray(picture.pixels))
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(np.ascontiguousarray(picture.alpha)))
    if picture.icc_profile is not None:
        image.info["icc_profile"] = picture.icc_profile
    if picture.exif is not None:
        image.info["exif"] = EXIF_PREFIX + picture.exif
    if picture.xmp is not None:
        image.info["xmp"] = picture.xmp
    return image


def picture_from_any(image: ImageLike, **options: Unpack[ReadOptions]) -> Picture:
    """Returns the `Picture` of anything that holds or names an image.

    Warns where its colours are not taken as it states them, or where it is very large.

    Args:
        image: Pillow image; uint8 array [H, W] grey, [H, W, 3] RGB or [H, W, 4] RGBA; torch uint8 tensor [3, H, W]; path of a picture
            file; or a picture file that is open for reading bytes.
        options: those of `ReadOptions`.

    Raises:
        TypeError: Anything else.
        ValueError: There is nothing of a name in `strip` that could be left out.
        ImageError: An image that cannot be read, or cannot be encoded faithfully.
    """
    _check_options(**options)
    picture = _picture_of(image, options)
    height, width = picture.pixels.shape[:2]
    max_pixels = options.get("max_pixels")
    _check_size(width, height, max_pixels)
    name = f"{image}: " if isinstance(image, str | PathLike) else ""
    for note in filter(None, (picture.colour_note, size_note(width, height, max_pixels))):
        warnings.warn(name + note, stacklevel=2)
    return picture


def _picture_of(image: ImageLike, options: ReadOptions) -> Picture:
    if isinstance(image, Image.Image):
        return _picture_of_open_image(image, options)
    if isinstance(image, str | PathLike):
        return read_picture(Path(image), **options)
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
        return read_picture(file, **options)
    raise _not_an_image(f"an object of type {type(image).__name__}")


def _picture_of_open_image(image: Image.Image, options: ReadOptions) -> Picture:
    file, is_loaded, frame = getattr(image, "fp", None), not getattr(image, "tile", []), image.tell()
    try:
        with warnings_ignored():  # Pillow's about EXIF
            return picture_from_pil(image, **options)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # a damaged picture makes Pillow raise almost anything
        if "closed image" in str(error) or (not is_loaded and (file is None or file.closed)):
            raise ImageError("the Pillow image is closed, expected an open one, or one that was loaded before") from error
        raise ImageError(f"picture cannot be read: {_one_line(error)}") from error
    finally:
        with suppress(Exception), warnings_ignored():  # Pillow cannot go back in every file
            if image.tell() != frame:
                image.seek(frame)


def _picture_of_array(array: NDArray[Any]) -> Picture:
    is_plain = not isinstance(array, np.matrix | np.ma.MaskedArray)
    is_shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if not is_plain or array.dtype != np.uint8 or not is_shaped or not array.size:
        kind = "array" if is_plain else type(array).__name__
        raise _not_an_image(f"a {array.dtype} {kind} {list(array.shape)}")
    if array.ndim == 3 and array.shape[2] == 4:
        return Picture(*settle_alpha(np.asarray(array)[:, :, :3], np.asarray(array)[:, :, 3]))
    return Picture(np.asarray(array))


def _not_an_image(given: str) -> TypeError:
    return TypeError(
        "image must be a Pillow image, a uint8 array [H, W], [H, W, 3] or [H, W, 4], a torch uint8 tensor [3, H, W], "
        f"a path or an open binary file, not {given}"
    )


def _check_size(width: int, height: int, max_pixels: int | None = None) -> None:
    limit = allowed_pixels(max_pixels)
    if 0 in (width, height):
        raise ImageError(f"picture of {width}x{height} pixels, expected at least 1x1")
    if max(height, width) > MAX_SIDE_PX or height * width > limit:
        raise ImageError(f"picture of {width}x{height} pixels, expected sides up to {MAX_SIDE_PX} and {limit} pixels at most")


def _one_line(error: BaseException) -> str:
    if isinstance(error, UnsupportedOperation) and "read" in str(error):  # whose text may be the name of a method
        return "it is not open for reading"
    system = error.strerror.lower() if isinstance(error, OSError) and error.strerror else ""
    return system or " ".join(str(error).split()) or type(error).__name__
