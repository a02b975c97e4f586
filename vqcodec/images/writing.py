"""Writing pictures as files: what each format holds, and what it cannot hold."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, Final

from PIL import Image, PngImagePlugin

from vqcodec.errors import ImageError
from vqcodec.images.exif import EXIF_PREFIX
from vqcodec.images.picture import Picture, picture_to_pil
from vqcodec.images.strips import LARGE_PIXELS, write_large_png
from vqcodec.images.tags import exif_for_tiff, is_left_out_of_tiff
from vqcodec.silence import warnings_ignored

_ALPHA_FORMATS: Final = ("AVIF", "JPEG2000", "PNG", "TIFF", "WEBP")
_METADATA_FORMATS: Final = ("AVIF", "JPEG", "PNG", "TIFF", "WEBP")
"""Formats that hold a colour profile, EXIF and XMP."""
_GREY_SUFFIXES: Final = (".pgm",)
"""Suffixes of formats that hold grey pictures alone."""
_GREY_AS_RGB: Final = ("AVIF", "WEBP")
"""Formats that Pillow, or an older one, writes grey pictures in as RGB, to which a profile of grey does not apply."""
_LONGEST_SIDES_PX: Final = {"AVIF": 32768, "JPEG": 65500, "WEBP": 16383}
"""Longest side of the formats that are narrower than .vq files, as the libraries write and read them again."""
_PNG_LEVEL: Final = 4
"""Level of zlib, which takes less time than its usual 6, and for photos hardly more bytes."""
_LEAST_PNG_SHARE: Final = 0.25
"""Share of a PNG file in the bytes of its pixels below which it is compressed once more at the usual level, as drawings gain by that."""
_WRITTEN: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    ".avif": ("AVIF", {"quality": 95}),
    ".bmp": ("BMP", {}),
    ".jp2": ("JPEG2000", {}),
    ".jpeg": ("JPEG", {"quality": 95}),
    ".jpg": ("JPEG", {"quality": 95}),
    ".pgm": ("PPM", {}),
    ".png": ("PNG", {"compress_level": _PNG_LEVEL}),
    ".ppm": ("PPM", {}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
    ".webp": ("WEBP", {"lossless": True}),
}
_LOSSY_FORMATS: Final = ("AVIF", "JPEG", "WEBP")
"""Formats that take a quality."""
_ALWAYS_LOSSY: Final = ("AVIF", "JPEG")
"""Formats that Pillow does not write without loss."""


@dataclass(frozen=True)
class Compression:
    """How picture files are compressed.

    Attributes:
        quality: from 1 to 100, of the formats with loss; None for what is usual: 95, and no loss in WebP.
        lossless: whether loss is refused.
    """

    quality: int | None = None
    lossless: bool = False

    def options(self, suffix: str) -> dict[str, Any]:
        """Returns Pillow's options for the format of a suffix that is written.

        Raises:
            ImageError: The format cannot be compressed so.
        """
        file_format, usual = _WRITTEN[suffix.lower()]
        if self.quality is not None and file_format not in _LOSSY_FORMATS:
            raise ImageError(f"a {suffix} file has no quality, expected .jpg, .webp or .avif")
        if self.lossless and file_format in _ALWAYS_LOSSY:
            raise ImageError(f"a {suffix} file is not written without loss, expected for example .png or .webp")
        return usual if self.quality is None else {"quality": self.quality}


USUAL_COMPRESSION: Final = Compression()


@dataclass(frozen=True)
class PictureFile:
    """A picture as a file.

    Attributes:
        data: bytes of the file.
        notes: metadata that the file does not hold.
    """

    data: bytes
    notes: tuple[str, ...] = ()


def write_picture(picture: Picture, suffix: str) -> bytes:
    """Returns the bytes of `picture_file`."""
    return picture_file(picture, suffix).data


def picture_file(picture: Picture, suffix: str, compression: Compression = USUAL_COMPRESSION) -> PictureFile:
    """Returns a picture file with the picture's alpha plane, profile, EXIF and XMP.

    EXIF and XMP that the format does not hold are left out.

    Args:
        picture: the picture.
        suffix: suffix that says the format, such as ".png".
        compression: how it is compressed.

    Raises:
        ImageError: No picture can be written with this suffix, or its format cannot hold the picture's colours, alpha or profile.
    """
    height, width = picture.pixels.shape[:2]
    has_colours, has_alpha, has_profile = picture.pixels.ndim != 2, picture.alpha is not None, picture.icc_profile is not None
    check_can_hold(suffix, width, height, has_colours=has_colours, has_alpha=has_alpha, has_profile=has_profile)
    file_format, options = _WRITTEN[suffix.lower()][0], compression.options(suffix)
    for attempt in _attempts(picture) if file_format in _METADATA_FORMATS else [replace(picture, exif=None, xmp=None)]:
        out = BytesIO()
        is_last, is_short = attempt.exif is None and attempt.xmp is None, False
        try:
            with warnings_ignored():  # Pillow's about EXIF
                extra = _metadata_options(attempt, file_format)
                if file_format == "TIFF" and attempt.exif is not None:
                    is_short = is_left_out_of_tiff(attempt.exif)
                if file_format == "PNG" and picture.pixels.shape[0] * picture.pixels.shape[1] >= LARGE_PIXELS:
                    out.write(_large_png(attempt, icc_profile=picture.icc_profile, **extra))
                else:
                    image = picture_to_pil(attempt)
                    image.save(out, format=file_format, icc_profile=picture.icc_profile, **options, **extra)
                    if file_format == "PNG" and len(out.getvalue()) < _LEAST_PNG_SHARE * picture.pixels.nbytes:
                        out = BytesIO()
                        image.save(out, format=file_format, icc_profile=picture.icc_profile, **extra)
        except MemoryError:
            raise
        except Exception as error:  # EXIF of a strange kind makes Pillow raise almost anything
            if is_last:
                raise ImageError(f"cannot write a picture as {suffix}: {' '.join(str(error).split())}") from error
            continue
        lost = [name for name, own, kept in _metadata_of(picture, attempt) if own != kept]
        lost += ["part of EXIF"] * is_short
        return PictureFile(out.getvalue(), tuple(f"{name} dropped: the {suffix} file cannot hold it" for name in lost))
    raise AssertionError("the last attempt returns or raises")


def _large_png(picture: Picture, **options: Any) -> bytes:
    def strip(first: int, end: int) -> Image.Image:
        alpha = None if picture.alpha is None else picture.alpha[first:end]
        return picture_to_pil(Picture(picture.pixels[first:end], alpha))

    height, width = picture.pixels.shape[:2]
    return write_large_png((width, height), strip, **options)


def check_can_hold(suffix: str, width: int, height: int, *, has_colours: bool, has_alpha: bool, has_profile: bool = False) -> None:
    """Checks that a picture can be written with a suffix, by what is known before its pixels are.

    Raises:
        ImageError: No format that is written has this suffix, or its format cannot hold such a picture.
    """
    if suffix.lower() not in _WRITTEN:
        raise ImageError(
            f"cannot write a picture {f'as {suffix!r}' if suffix else 'to a name without a suffix'}, expected one of {', '.join(_WRITTEN)}"
        )
    file_format, _ = _WRITTEN[suffix.lower()]
    longest = _LONGEST_SIDES_PX.get(file_format)
    if longest is not None and max(width, height) > longest:
        raise ImageError(f"a {suffix} file cannot hold {width}x{height} pixels, sides of {longest} at most, expected for example .png")
    if suffix.lower() in _GREY_SUFFIXES and has_colours:
        raise ImageError(f"a {suffix} file cannot hold the picture's colours, expected for example .png or .ppm")
    if has_alpha and file_format not in _ALPHA_FORMATS:
        raise ImageError(f"a {suffix} file cannot hold the picture's transparency, expected for example .png")
    if has_profile and file_format not in _METADATA_FORMATS:
        raise ImageError(f"a {suffix} file cannot hold the picture's colour profile, expected for example .png")
    if has_profile and not has_colours and file_format in _GREY_AS_RGB:
        raise ImageError(f"a {suffix} file cannot hold the picture's colour profile, which is one of grey, expected for example .png")


def _attempts(picture: Picture) -> Iterator[Picture]:
    """Yields a picture with EXIF and XMP, with one of them, and with none."""
    tried = set()
    for exif, xmp in [(picture.exif, picture.xmp), (picture.exif, None), (None, picture.xmp), (None, None)]:
        if (exif, xmp) not in tried:
            yield replace(picture, exif=exif, xmp=xmp)
        tried.add((exif, xmp))


def _metadata_of(picture: Picture, written: Picture) -> list[tuple[str, bytes | None, bytes | None]]:
    return [("EXIF", picture.exif, written.exif), ("XMP", picture.xmp, written.xmp)]


def _metadata_options(picture: Picture, file_format: str) -> dict[str, Any]:
    """Returns the arguments by which Pillow writes EXIF and XMP in a format."""
    options: dict[str, Any] = {}
    if file_format == "TIFF":
        return {"exif": exif_for_tiff(picture.exif, picture.xmp)} if picture.exif or picture.xmp else options
    if picture.exif is not None:
        options["exif"] = EXIF_PREFIX + picture.exif
    if picture.xmp is not None and file_format == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", picture.xmp.decode("utf-8"))
    elif picture.xmp is not None:
        options["xmp"] = picture.xmp
    return options
