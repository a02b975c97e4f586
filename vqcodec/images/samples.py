"""Checks of how a picture file stores its samples, since Pillow hands some of them out in a way that gives wrong colours.

What only the file says, and not the image that Pillow has loaded from it, is kept with the image.
"""

import os
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, Final

from PIL import Image

from vqcodec.errors import ImageError
from vqcodec.images.colour_numbers import READERS, Described, described_colours
from vqcodec.images.modes import SIXTEEN_BIT_MODES
from vqcodec.images.png_rows import check_png_rows

_TIFF_SUBFILE, _TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_PLANAR, _TIFF_SAMPLE_FORMAT = 254, 258, 262, 284, 339
_TIFF_REDUCED: Final = 1
"""Bit of the subfile type that marks a smaller copy of another picture."""
_TIFF_COLOUR_MAP, _TIFF_PROFILE = 320, 34675
_TIFF_SEPARATE_PLANES: Final = 2
_TIFF_WHITE_IS_ZERO: Final = 0
_TIFF_UNSIGNED: Final = (1, 4)
"""Values of the sample format for unsigned integers, and for data of unknown kind."""
_KNOWN_MODES: Final = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr", "CMYK")
_TGA_ALPHA_BITS: Final = 0x0F
_TGA_FOOTER: Final = b"TRUEVISION-XFILE.\0"
_TGA_USEFUL_ALPHA, _TGA_PREMULTIPLIED = 3, 4
_J2K_SIZ: Final = b"\xff\x4f\xff\x51"
"""Markers at the start of a JPEG 2000 codestream."""
_MAX_FRAMES: Final = 100
_FORMATS_READ: Final = (*READERS, "PNG", "TGA")
"""Formats of which the file itself says more than Pillow keeps."""
_KEPT: Final = "_vqcodec_stated"
"""Attribute of Pillow images that holds what their file states."""


@dataclass(frozen=True)
class Stated:
    """What a picture's file states, and a Pillow image does not say any more once it is loaded.

    Attributes:
        colours: colours beside those of the ICC profile (`described_colours`).
        meaningless_alpha: checksum of the alpha that means nothing (`has_meaningless_alpha`), or None.
        icc_profile: the ICC profile of the image when this was found.
        frame: number of the picture in the file.
    """

    colours: Described = None
    meaningless_alpha: int | None = None
    icc_profile: bytes | None = None
    frame: int = 0

    def is_opaque(self, image: Image.Image) -> bool:
        """Returns whether the alpha of the loaded image is still the one that means nothing."""
        return self.meaningless_alpha is not None and self.meaningless_alpha == _alpha_checksum(image)


def stated_by_file(image: Image.Image) -> Stated:
    """Checks the samples of a Pillow image, and returns what its file states.

    That can be found only before the image is loaded, and is kept with it for later calls. Of an image that was loaded before the first
    call, the file is opened once more by its name. Where there is none, or another file by now, or the caller has set another ICC profile,
    no more is known than what Pillow has kept.

    Raises:
        ImageError: As `check_samples`, `described_colours` and `has_meaningless_alpha` raise it.
    """
    if _open_file(image) is None:
        kept: Stated | None = getattr(image, _KEPT, None)
        if kept is not None and (kept.icc_profile, kept.frame) == (image.info.get("icc_profile"), image.tell()):
            return kept
        if image.format in _FORMATS_READ and (again := _opened_again(image)) is not None:
            with again:
                return _read_stated(image, again)
    return _read_stated(image, image)


def keep_stated(image: Image.Image, stated: Stated) -> None:
    """Keeps with an image in memory what is stated by the file of the image that its pixels are of."""
    setattr(image, _KEPT, stated)


def check_samples(image: Image.Image) -> None:
    """Checks a picture that was opened from a file, before its pixels are loaded.

    Raises:
        ImageError: A mode without defined colours, or a TIFF, PNG or JPEG 2000 whose samples Pillow would hand out unscaled, inverted, cut,
            or with the wrong transparency.
    """
    if image.mode not in (*_KNOWN_MODES, *SIXTEEN_BIT_MODES):
        raise ImageError(f"colour mode {image.mode}, expected grey, RGB, palette or CMYK; convert it to RGB first")
    if image.mode == "1" and "transparency" in image.info:
        raise ImageError("a picture of 1 bit a pixel with transparency; convert it to grey with alpha first")
    if image.format == "TIFF":
        _check_tiff(image)
    elif image.format == "PNG":
        _check_png(image)
        if (file := _open_file(image)) is not None:
            check_png_rows(file)
    elif image.format == "JPEG2000" and (file := _open_file(image)) is not None:
        _check_jpeg2000(file)
    if image.mode == "I" and image.format not in (None, "PNG", "PPM"):
        raise ImageError(f"32-bit grey values in a {image.format} file: their range is not known; convert it to 16 bit first")


def select_picture(image: Image.Image, *, first_frame: bool = False) -> None:
    """Selects the picture of a file that holds smaller copies of it too, as a TIFF may.

    Args:
        image: image of a file that is not loaded; it is moved to that picture.
        first_frame: whether the first of several pictures is taken.

    Raises:
        ImageError: The file holds several pictures.
    """
    frames = getattr(image, "n_frames", 1)
    if frames == 1 or (image.format == "MPO" and not first_frame):  # whose further pictures are views and previews of the first
        return
    full = _full_pages(image) if image.format == "TIFF" and frames <= _MAX_FRAMES else []
    if len(full) != 1 and not first_frame:
        raise ImageError(f"{len(full) or frames} frames, expected a still picture; --first-frame (first_frame=True) takes the first")
    image.seek(full[0] if full else 0)
    if image.format == "TIFF" and _TIFF_PROFILE not in getattr(image, "tag_v2", {}):
        image.info.pop("icc_profile", None)  # Pillow leaves that of another page there


def is_upright(image: Image.Image) -> bool:
    """Returns whether the pixels are upright whatever EXIF says, as those of a JPEG XL are that was no JPEG."""
    return image.format == "JXL" and not getattr(image, "jpeg", False)


def has_meaningless_alpha(image: Image.Image) -> bool:
    """Returns whether a file says that the alpha that Pillow finds in it means nothing, as a TGA may, so that the picture is opaque.

    Raises:
        ImageError: The colours of the file are multiplied by its alpha.
    """
    file = _open_file(image)
    if image.format != "TGA" or file is None or image.mode not in ("RGBA", "LA"):
        return False
    place = file.tell()
    try:
        file.seek(17)
        if not file.read(1)[0] & _TGA_ALPHA_BITS:
            return True
        kind = _tga_alpha_kind(file)
    except (OSError, struct.error, IndexError):
        return False
    finally:
        file.seek(place)
    if kind == _TGA_PREMULTIPLIED:
        raise ImageError("TGA whose colours are multiplied by alpha, expected plain ones; convert it to PNG first")
    return kind is not None and kind < _TGA_USEFUL_ALPHA


def with_whole_palette(image: Image.Image) -> Image.Image:
    """Returns a loaded image, of a TIFF whose colour map holds values of 8 bits in its 16, with these values as its palette."""
    colours = getattr(image, "tag_v2", {}).get(_TIFF_COLOUR_MAP, ()) if image.mode == "P" else ()
    if not colours or max(colours) > 255 or len(colours) % 3:
        return image
    count = len(colours) // 3
    mended = Image.Image.copy(image)
    mended.putpalette(bytes(colours[place + channel * count] for place in range(count) for channel in range(3)))
    return mended


def has_lost_profile(image: Image.Image) -> bool:
    """Tells whether the file of an image holds an ICC profile that Pillow could not read: damaged in a PNG, incomplete in a JPEG."""
    if image.info.get("icc_profile"):
        return False
    segments = [data for name, data in getattr(image, "applist", []) if name == "APP2" and data.startswith(b"ICC_PROFILE\0")]
    return (image.format == "PNG" and "icc_profile" in image.info) or bool(segments)


def raw_mode(image: Image.Image) -> str:
    """Returns Pillow's name for the samples as the file stores them, such as "LA;16B"; empty for pixels that are in memory."""
    tiles = getattr(image, "tile", [])
    return str(tiles[0].args) if tiles else ""


def _full_pages(tiff: Any) -> list[int]:
    """Returns the numbers of the pages of a TIFF that are no smaller copies of others; the page that is shown stays."""
    shown, full = tiff.tell(), []
    for page in range(tiff.n_frames):
        tiff.seek(page)
        if not tiff.tag_v2.get(_TIFF_SUBFILE, 0) & _TIFF_REDUCED:
            full.append(page)
    tiff.seek(shown)
    return full


def _check_png(image: Image.Image) -> None:
    samples = raw_mode(image)
    if "transparency" in image.info and samples in ("L;2", "L;4", "RGB;16B"):  # Pillow compares the colour with samples of another depth
        raise ImageError(f"PNG of {samples} samples with a transparent colour; convert it to 8 bits with an alpha channel first")
    if samples == "LA;16B":  # Pillow reads it as RGBA
        raise ImageError("PNG of 16-bit grey with alpha; convert it to 8 bits first")


def _check_tiff(image: Image.Image) -> None:
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_TIFF_BITS, (1,))
    depth = max(bits) if isinstance(bits, tuple) else bits
    if depth not in (1, 2, 4, 8, 16):
        raise ImageError(f"TIFF of {depth} bits a sample, expected 8 or 16")
    if tags.get(_TIFF_SAMPLE_FORMAT, (1,))[0] not in _TIFF_UNSIGNED:
        raise ImageError("TIFF of signed or floating-point samples, expected unsigned ones")
    if depth != 8 and tags.get(_TIFF_PLANAR) == _TIFF_SEPARATE_PLANES and isinstance(bits, tuple) and len(bits) > 1:
        raise ImageError(f"TIFF of {depth} bits a sample with separate planes, expected samples side by side; convert it first")
    if depth == 16 and tags.get(_TIFF_PHOTOMETRIC) == _TIFF_WHITE_IS_ZERO:
        raise ImageError("16-bit TIFF in which 0 is white; convert it to one in which 0 is black")


def _read_stated(image: Image.Image, opened: Image.Image) -> Stated:
    """Returns what is stated by the file that `opened` is an image of, and keeps it with an image."""
    check_samples(opened)
    colours = described_colours(opened)
    alpha = _alpha_checksum(opened) if has_meaningless_alpha(opened) else None
    stated = Stated(colours, alpha, opened.info.get("icc_profile"), image.tell())
    keep_stated(image, stated)
    return stated


def _alpha_checksum(image: Image.Image) -> int:
    """Returns a checksum of the alpha of an image that has some, which loads it."""
    return zlib.crc32(image.getchannel("A").tobytes())


def _opened_again(image: Image.Image) -> Image.Image | None:
    """Opens the file of a loaded image once more; returns None where there is none, or another one by what can be seen of it."""
    path = getattr(image, "filename", "")
    if not path or not os.path.isfile(path):  # noqa: PTH113 (raises nothing)
        return None
    try:
        again = Image.open(path, formats=[str(image.format)])
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    with suppress(EOFError):
        again.seek(image.tell())
    if (again.mode, again.size, again.info.get("icc_profile")) == (image.mode, image.size, image.info.get("icc_profile")):
        return again
    again.close()
    return None


def _open_file(image: Image.Image) -> IO[bytes] | None:
    """Returns the file of a picture that is not loaded yet, if it is open."""
    file: IO[bytes] | None = getattr(image, "fp", None)
    return file if file is not None and not getattr(file, "closed", False) and getattr(image, "tile", []) else None


def _tga_alpha_kind(file: IO[bytes]) -> int | None:
    """Returns the type of alpha that the extension of a TGA states, or None where there is no extension."""
    file.seek(-26, 2)
    start, _, signature = struct.unpack("<II18s", file.read(26))
    if signature != _TGA_FOOTER or not start:
        return None
    file.seek(start + 494)
    return file.read(1)[0]


def _check_jpeg2000(file: IO[bytes]) -> None:
    """Checks the depth of samples: Pillow cuts those of several channels of more than 8 bits, and does not scale those of fewer."""
    place = file.tell()
    file.seek(0)
    head = file.read(1 << 20)
    file.seek(place)
    start = head.find(_J2K_SIZ)
    if start < 0 or len(head) < start + 42:
        return
    (channels,) = struct.unpack_from(">H", head, start + 40)
    kinds = head[start + 42 : start + 42 + 3 * channels : 3]
    depths = [(kind & 0x7F) + 1 for kind in kinds]
    if any(kind & 0x80 for kind in kinds):
        raise ImageError("JPEG 2000 of signed samples, expected unsigned ones")
    if any(depth != 8 for depth in depths) and not (channels == 1 and depths[0] > 9):
        raise ImageError(f"JPEG 2000 of {max(depths)} bits a sample, expected 8, or grey of 10 to 16; convert it to 8 bits first")
