"""EXIF and XMP of a picture file: what is kept of them, and what is taken out again. Damage in them never costs the picture."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from vqcodec.format.container import MAX_EXIF_BYTES, MAX_XMP_BYTES
from vqcodec.images.exif import EXIF_IFD, GPS_IFD, INTEROP_IFD, ORIENTATION, Exif
from vqcodec.images.xmp import orientation_of_xmp, reset_xmp_orientation, without_gps

_TIFF_KEPT: Final = (269, 270, 271, 272, 285, 305, 306, 315, 316, 0x4746, 0x4749, 33432, *range(0x9C9B, 0x9CA0))
"""Tags of a TIFF that describe the picture, and not how its samples are stored."""
_RESOLUTION, _RESOLUTION_UNIT = (282, 283), 296
_TIFF_XMP: Final = 700
_OF_SAMPLES: Final = frozenset(
    (*range(254, 267), 273, 274, *range(277, 284), *range(284, 302), *range(317, 348), *range(512, 533), _TIFF_XMP, 34675)
)
"""Tags that say how samples are stored, and their resolution."""
_PADDING: Final = 0xEA1C
_TIFF_IPTC, _TIFF_PHOTOSHOP = 33723, 34377
_IPTC_OF_PHOTOSHOP: Final = 0x0404
"""Number of the IPTC among the blocks that Photoshop leaves."""
_READ_TEXT: Final = {"XML:com.adobe.xmp", "Raw profile type exif"}
"""Keys of the text of a PNG that are read as XMP and EXIF."""


@dataclass(frozen=True)
class Tags:
    """EXIF and XMP of a picture whose orientation is applied.

    Attributes:
        exif: EXIF as a TIFF structure, or None.
        xmp: XMP packet, or None.
        orientation: orientation that is to be applied to the pixels, 1 to 8.
        colour_space: what EXIF says of the colours (`Exif.colour_space`).
        notes: what is dropped.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    orientation: int = 1
    colour_space: str = ""
    notes: list[str] = field(default_factory=list)


def fetch_tags(image: Image.Image) -> None:
    """Lets Pillow read what EXIF of a TIFF says of colours while the file is open: it reads the rest, but not that, before it closes it."""
    if image.format == "TIFF":
        with suppress(Exception):  # `read_tags` tells of damage
            image.getexif().get_ifd(INTEROP_IFD)


def read_tags(image: Image.Image) -> Tags:
    """Returns EXIF and XMP of a Pillow image that is loaded."""
    notes = [f"{name} dropped" for name, is_there in (("IPTC", _has_iptc(image)), ("comment", _has_comment(image))) if is_there]
    if getattr(image, "text", {}).keys() - _READ_TEXT:
        notes.append("text of the PNG dropped")
    data, orientation, colour_space = None, 1, ""
    try:
        if raw := _raw_exif(image):
            exif = Exif(raw)
            orientation, colour_space = exif.orientation, exif.colour_space
            if exif.remove_thumbnail():
                notes.append("thumbnail in EXIF dropped")
            exif.reset_orientation()
            data = bytes(exif)
    except Exception as error:  # noqa: BLE001 (damage makes Pillow raise almost anything, and the picture is to be had all the same)
        notes.append(_damage_note(error))
    xmp = _raw_xmp(image)
    orientation = _orientation(image, orientation, xmp)
    if xmp is not None:
        xmp = reset_xmp_orientation(xmp)
        if b"HasExtendedXMP" in xmp:
            notes.append("extended XMP dropped")
    if data is not None and len(data) > MAX_EXIF_BYTES:
        notes.append(f"EXIF dropped: {len(data)} bytes, expected {MAX_EXIF_BYTES} at most")
        data = None
    if xmp is not None and len(xmp) > MAX_XMP_BYTES:
        notes.append(f"XMP dropped: {len(xmp)} bytes, expected {MAX_XMP_BYTES} at most")
        xmp = None
    return Tags(data, xmp, orientation, colour_space, notes)


def colour_space_of(image: Image.Image) -> str:
    """Returns what EXIF of a Pillow image that is loaded says of the colours (`Exif.colour_space`), "" where it is damaged."""
    with suppress(Exception):
        raw = _raw_exif(image)
        return Exif(raw).colour_space if raw else ""
    return ""


def exif_of_srgb(exif: bytes | None) -> tuple[bytes | None, list[str]]:
    """Returns EXIF that does not say that sRGB pixels are something else, and what had to be dropped for it."""
    return _changed(exif, Exif.state_srgb)


def without_position(exif: bytes | None, xmp: bytes | None) -> tuple[bytes | None, bytes | None, list[str]]:
    """Returns EXIF and XMP without the position of the camera, and what had to be dropped for it."""
    exif, notes = _changed(exif, Exif.remove_gps)
    if xmp is not None:
        xmp = without_gps(xmp)
        if xmp is None:
            notes.append("XMP dropped: it holds a position that cannot be taken out")
    return exif, xmp, notes


def _changed(exif: bytes | None, change: Callable[[Exif], None]) -> tuple[bytes | None, list[str]]:
    """Returns EXIF after a change, or None and a note where it is damaged."""
    if exif is None:
        return None, []
    try:
        own = Exif(exif)
        change(own)
    except ValueError as error:
        return None, [_damage_note(error)]
    return bytes(own), []


def _damage_note(error: Exception) -> str:
    return f"EXIF dropped: it is damaged: {' '.join(str(error).split()) or type(error).__name__}"


def exif_for_tiff(exif: bytes | None, xmp: bytes | None) -> bytes:
    """Returns EXIF and XMP as Pillow writes them into a TIFF, without tags that would describe its samples."""
    found, kept = Image.Exif(), Image.Exif()
    if exif is not None:
        found.load(exif)
        _copy_tags(found, kept)
        _copy_resolution(found, kept)
        if EXIF_IFD in kept:
            kept[EXIF_IFD].pop(INTEROP_IFD, None)  # Pillow would write a pointer to where it lay before
    if xmp is not None:
        kept[_TIFF_XMP] = xmp
    return kept.tobytes()


def is_left_out_of_tiff(exif: bytes) -> bool:
    """Tells whether EXIF holds tags beside those of its directories that `exif_for_tiff` leaves out, and that say something."""
    found = Image.Exif()
    found.load(exif)
    return not set(found) <= {*_TIFF_KEPT, *_OF_SAMPLES, _PADDING, EXIF_IFD, GPS_IFD}


def _has_iptc(image: Image.Image) -> bool:
    of_tiff, of_jpeg = getattr(image, "tag_v2", {}), image.info.get("photoshop")
    blocks = of_tiff.get(_TIFF_PHOTOSHOP)
    is_in_blocks = isinstance(blocks, bytes) and b"8BIM" + _IPTC_OF_PHOTOSHOP.to_bytes(2) in blocks
    return _TIFF_IPTC in of_tiff or is_in_blocks or (isinstance(of_jpeg, dict) and _IPTC_OF_PHOTOSHOP in of_jpeg)


def _has_comment(image: Image.Image) -> bool:
    """Tells whether there is a comment other than the name that an encoder of JPEG 2000 leaves in every file."""
    comment = image.info.get("comment")
    is_name = image.format == "JPEG2000" and isinstance(comment, bytes) and comment.startswith((b"Created by OpenJPEG", b"Kakadu"))
    return bool(comment) and not is_name


def _orientation(image: Image.Image, of_exif: int, xmp: bytes | None) -> int:
    """Returns the orientation as Pillow reads it, or that of EXIF or XMP where it cannot."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # noqa: BLE001 (as above)
        value = orientation_of_xmp(xmp) if of_exif == 1 and xmp is not None else of_exif
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _raw_xmp(image: Image.Image) -> bytes | None:
    xmp = image.info.get("xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode()
    return xmp.rstrip(b"\0") or None if isinstance(xmp, bytes) else None


def _raw_exif(image: Image.Image) -> bytes | None:
    raw: Any = image.info.get("exif")
    if raw:
        return bytes(raw)
    if isinstance(text := image.info.get("Raw profile type exif"), str):  # ImageMagick's
        return bytes.fromhex("".join(text.split("\n")[3:]))
    return _exif_of_tiff(image) if image.format == "TIFF" else None


def _exif_of_tiff(image: Image.Image) -> bytes | None:
    """Returns EXIF with those tags of a TIFF that describe the picture, or None where there are none."""
    kept = Image.Exif()
    _copy_tags(image.getexif(), kept)
    return kept.tobytes() if len(kept) else None


def _copy_resolution(found: Image.Exif, kept: Image.Exif) -> None:
    """Copies the resolution, unless it is none: Pillow would write nothing then."""
    values = [found.get(tag) for tag in _RESOLUTION]
    are_positive = all(isinstance(value, int | float | IFDRational) and value > 0 for value in values)
    if are_positive and isinstance(found.get(_RESOLUTION_UNIT, 2), int):
        kept.update({tag: found[tag] for tag in (*_RESOLUTION, _RESOLUTION_UNIT) if tag in found})


def _copy_tags(found: Image.Exif, kept: Image.Exif) -> None:
    """Copies tags that describe a picture."""
    for tag in _TIFF_KEPT:
        if tag in found:
            kept[tag] = found[tag]
    for tag in (EXIF_IFD, GPS_IFD):
        if tag in found and (directory := dict(found.get_ifd(tag))):
            if INTEROP_IFD in directory:
                try:
                    directory[INTEROP_IFD] = dict(found.get_ifd(INTEROP_IFD))
                except ValueError:  # the file is closed, of an image that the caller has loaded
                    del directory[INTEROP_IFD]
            kept[tag] = directory
