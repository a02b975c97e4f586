"""Formats of picture files: their suffixes, those that Pillow reads by itself, and those that a plugin of Pillow reads.

A plugin is loaded when a file needs it, so that nothing else has to wait for it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from PIL import Image, UnidentifiedImageError

from vqcodec.errors import ImageError
from vqcodec.format.container import MAGIC
from vqcodec.format.limits import read_to_end
from vqcodec.images.jpeg_xl import JXL_BOX, JXL_STREAM, read_jpeg_xl_header

FORMATS: Final = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP")
"""Pillow's names of the formats that it reads by itself, as far as they are taken."""
_HEAD_BYTES: Final = 64
_HEIC_BRANDS: Final = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2")


@dataclass(frozen=True)
class Plugin:
    """A package that teaches Pillow a format.

    Attributes:
        name: name of the format.
        pillow_name: Pillow's name of the format.
        package: name of the package.
        suffixes: suffixes of its files.
        is_own: function that tells by the first bytes of a file whether it has the format.
        load: function that imports the package and registers its reader.
    """

    name: str
    pillow_name: str
    package: str
    suffixes: tuple[str, ...]
    is_own: Callable[[bytes], bool]
    load: Callable[[], object]


PLUGINS: Final = (
    Plugin(
        "HEIC",
        "HEIF",
        "pillow-heif",
        (".heic", ".heif", ".hif"),
        lambda head: head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS,
        lambda: import_module("pillow_heif").register_heif_opener(),
    ),
    Plugin(
        "JPEG XL",
        "JXL",
        "pillow-jxl-plugin",
        (".jxl",),
        lambda head: head.startswith((JXL_STREAM, JXL_BOX)),
        lambda: import_module("pillow_jxl"),
    ),
)

IMAGE_SUFFIXES: Final = frozenset(
    {".avif", ".bmp", ".gif", ".j2k", ".jfif", ".jp2", ".jpeg", ".jpg", ".jpx", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".tga"}
    | {".tif", ".tiff", ".webp"}
    | {suffix for plugin in PLUGINS for suffix in plugin.suffixes}
)
"""Suffixes, in lower case, of the pictures in a folder, those that need a plugin too."""


def seekable(source: Path | BinaryIO) -> Path | BinaryIO:
    """Returns a picture file in which one can seek: itself, or what a pipe or another stream holds, which is read once.

    Raises:
        LimitExceededError: A stream has more bytes than a .vq file may have.
    """
    if isinstance(source, Path):
        with source.open("rb") as file:
            return source if file.seekable() else BytesIO(read_to_end(file))
    return source if hasattr(source, "seekable") and source.seekable() else BytesIO(read_to_end(source))


def open_image(source: Path | BinaryIO, check_size: Callable[[int, int], object]) -> Image.Image:
    """Opens a picture file by Pillow, by a plugin where its format needs one; its pixels are not decoded yet.

    Plugins of other formats that the caller has registered are used, too.

    Args:
        source: path of the file, or the file itself, open for reading bytes; one can seek in it (`seekable`).
        check_size: function that raises an error for a width and a height that are too large. It is called for formats alone whose plugin
            decodes the pixels when it opens a file.

    Raises:
        ImageError: It is a .vq file, it needs a plugin that is not installed, or it is an animation whose plugin would hide that it is one.
        UnidentifiedImageError: It has another format.
    """
    head = _head(source)
    if head.startswith(MAGIC):
        raise ImageError("is encoded already: a .vq file, expected a picture")
    for plugin in PLUGINS:
        if plugin.is_own(head) and not _is_avif(head):
            if plugin.pillow_name == "JXL":
                _check_jpeg_xl(source, check_size)
            try:
                plugin.load()
            except ImportError as error:
                raise ImageError(f"{plugin.name} is read by a plugin that is not installed: pip install {plugin.package}") from error
            return Image.open(source, formats=[plugin.pillow_name])
    try:
        return Image.open(source, formats=FORMATS)
    except UnidentifiedImageError:
        if registered := [name for name, (factory, _) in Image.OPEN.items() if not factory.__module__.startswith("PIL.")]:
            return Image.open(source, formats=registered)
        raise


def _head(source: Path | BinaryIO) -> bytes:
    if isinstance(source, Path):
        with source.open("rb") as file:
            return file.read(_HEAD_BYTES)
    source.seek(0)
    return source.read(_HEAD_BYTES)


def _is_avif(head: bytes) -> bool:
    """Returns whether a file of a brand that several formats share names AVIF among its other brands."""
    return head[8:12] in (b"mif1", b"msf1", b"mif2") and any(brand in head[16:] for brand in (b"avif", b"avis"))


def _check_jpeg_xl(source: Path | BinaryIO, check_size: Callable[[int, int], object]) -> None:
    """Checks what the header of a JPEG XL says, since the plugin decodes the pixels at once, and shows animations as pictures."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            header = read_jpeg_xl_header(file)
    else:
        source.seek(0)
        header = read_jpeg_xl_header(source)
    check_size(header.width, header.height)
    if header.is_animated:
        raise ImageError("animated JPEG XL, expected a still picture")
