"""Colours that a picture file states in another way than by an ICC profile that Pillow finds.

These are colour numbers (ITU-T H.273) in PNG's cICP, AVIF's nclx and JPEG 2000, cHRM and gAMA of PNG, the colour spaces of JPEG 2000 and of
BMP 4 and 5, and the primaries of TIFF. What EXIF says is read elsewhere.
"""

import struct
from collections.abc import Iterator
from typing import IO, Any, Final, TypeAlias

from PIL import Image

from vqcodec.errors import ImageError
from vqcodec.images.colour import D65, PROPHOTO, SRGB_PRIMARIES, Colours, Point, Transfer

Described: TypeAlias = Colours | bytes | None
"""Colours in numbers, as an ICC profile, or not stated."""

_NOT_STATED, _PQ, _HLG = 2, 16, 18
_SRGB_SPACES: Final = (16, 17, 18)
"""Numbers of sRGB, grey and sYCC in JPEG 2000."""
_WHITE_C: Final = (0.310, 0.316)
_SMPTE_170M: Final = (((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)), D65)
_PRIMARIES: Final[dict[int, tuple[tuple[Point, Point, Point], Point]]] = {
    1: (SRGB_PRIMARIES, D65),
    2: (SRGB_PRIMARIES, D65),
    4: (((0.67, 0.33), (0.21, 0.71), (0.14, 0.08)), _WHITE_C),
    5: (((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)), D65),
    6: _SMPTE_170M,
    7: _SMPTE_170M,
    8: (((0.681, 0.319), (0.243, 0.692), (0.145, 0.049)), _WHITE_C),
    9: (((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), D65),
    11: (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), (0.314, 0.351)),
    12: (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), D65),
    22: (((0.630, 0.340), (0.295, 0.605), (0.155, 0.077)), D65),
}
_TRANSFERS: Final[dict[int, Transfer]] = {
    **dict.fromkeys((1, 2, 6, 13, 14, 15), "srgb"),  # the curve of BT.709 is shown as sRGB's
    4: 2.2,
    5: 2.8,
    8: 1.0,
    _PQ: "pq",
    _HLG: "hlg",
}
_GAMMA_OF_SRGB: Final = (0.4, 0.5)
"""Range of the gamma that a PNG of sRGB pixels may state."""
_MAX_HEADER_BYTES: Final = 1 << 20
"""Colours are looked for in headers of up to so many bytes."""
_MAX_PROFILE_BYTES: Final = 1 << 24
_MAX_BOXES: Final = 1000
_GIF_PROFILE: Final = b"\x21\xff\x0bICCRGBG1012"
_TIFF_TRANSFER, _TIFF_WHITE, _TIFF_PRIMARIES = 301, 318, 319


def described_colours(image: Image.Image) -> Described:
    """Returns the colours that a picture's file states beside or instead of `info["icc_profile"]`.

    PNG's cICP goes before an ICC profile, as PNG has it; everything else is asked only where there is no profile. The file has to be open,
    and not to be loaded yet.

    Raises:
        ImageError: The file states colours that are not known, or make no sense.
    """
    file: Any = getattr(image, "fp", None)
    has_file = file is not None and not getattr(file, "closed", False) and bool(getattr(image, "tile", []))
    has_profile = bool(image.info.get("icc_profile"))
    if has_file and image.format == "PNG" and (numbers := _at_start(file, _png_numbers)) is not None:
        return numbers
    if has_profile:
        return None
    if nclx := image.info.get("nclx_profile"):  # pillow-heif's name
        described: Described = _colours_of_numbers(int(nclx["color_primaries"]), int(nclx["transfer_characteristics"]))
    elif image.format == "PNG":
        described = _png_colours(image.info)
    elif image.format == "TIFF":
        described = _tiff_colours(getattr(image, "tag_v2", {}))
    else:
        described = _at_start(file, READERS[image.format]) if has_file and image.format in READERS else None
    return described


def hdr_of_profile(profile: bytes) -> Colours | None:
    """Returns the colours of an ICC profile that is one of HDR by its colour numbers, the tag `cicp`; None for all others."""
    try:
        (count,) = struct.unpack_from(">I", profile, 128)
        for number in range(min(count, _MAX_BOXES)):
            name, start, size = struct.unpack_from(">4sII", profile, 132 + 12 * number)
            if name == b"cicp" and size >= 12 and profile[start + 9] in (_PQ, _HLG):
                return _colours_of_numbers(profile[start + 8], profile[start + 9])
    except (struct.error, IndexError):
        return None
    return None


def _at_start(file: IO[bytes], read: Any) -> Described:
    """Calls a reader with a file at its start, and leaves the file where it was. A header that ends early describes nothing."""
    place = file.tell()
    file.seek(0)
    try:
        described: Described = read(file)
    except (struct.error, OverflowError, IndexError):
        described = None
    finally:
        file.seek(place)
    return described


def _colours_of_numbers(primaries: int, transfer: int) -> Colours | None:
    if primaries not in _PRIMARIES or transfer not in _TRANSFERS:
        raise ImageError(
            f"colours of the numbers {primaries}/{transfer}, expected primaries among {', '.join(map(str, _PRIMARIES))} and a transfer "
            f"among {', '.join(map(str, sorted(_TRANSFERS)))}; convert it to sRGB first"
        )
    return None if primaries == transfer == _NOT_STATED else Colours(*_PRIMARIES[primaries], _TRANSFERS[transfer])


def _png_numbers(file: IO[bytes]) -> Colours | None:
    file.seek(8)
    for _ in range(_MAX_BOXES):
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"IDAT":
            return None
        if kind == b"cICP" and length == 4:
            primaries, transfer, matrix, is_full = file.read(4)
            if matrix != 0 or is_full != 1:
                raise ImageError(f"PNG of matrix {matrix} and range {is_full} by its cICP chunk, expected RGB of full range, 0 and 1")
            return _colours_of_numbers(primaries, transfer)
        file.seek(length + 4, 1)
    return None


def _png_colours(info: dict[Any, Any]) -> Colours | None:
    gamma, points = info.get("gamma"), info.get("chromaticity")
    if "srgb" in info:
        return Colours()
    if gamma is None and points is None:
        return None
    colours = Colours()
    if points is not None:
        white, *primaries = zip(points[0::2], points[1::2], strict=True)
        colours = Colours((primaries[0], primaries[1], primaries[2]), white)
    if gamma is None or (colours.has_srgb_primaries and _GAMMA_OF_SRGB[0] <= gamma <= _GAMMA_OF_SRGB[1]):
        return colours
    if gamma <= 0:
        raise ImageError(f"PNG of gamma {gamma:g}, expected 0.45455, that of sRGB, or another one above 0")
    return Colours(colours.primaries, colours.white, 1 / gamma)


def _tiff_colours(tags: Any) -> Colours | None:
    primaries, white = tags.get(_TIFF_PRIMARIES), tags.get(_TIFF_WHITE, D65)
    if primaries is not None and not (len(primaries) == 6 and len(white) == 2):
        raise ImageError(f"TIFF with {len(primaries)} numbers of primaries and {len(white)} of white, expected 6 and 2")
    if (curve := tags.get(_TIFF_TRANSFER)) is not None and len(curve) >= 3:
        depth = len(curve) if len(curve) & (len(curve) - 1) == 0 else len(curve) // 3  # one curve, or three one after another
        middle = curve[depth // 2] / 65535  # 0.2158 of a half for sRGB, 0.2176 for gamma 2.2
        if not 0.19 <= middle <= 0.24:
            raise ImageError(f"TIFF whose transfer function takes a half to {middle:.3f}, expected 0.216, that of sRGB; convert it first")
    if primaries is None:
        return None
    red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y = map(float, (*primaries, *white))
    colours = Colours(((red_x, red_y), (green_x, green_y), (blue_x, blue_y)), (white_x, white_y), 2.2)
    return Colours() if colours.has_srgb_primaries else colours


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields type and body of the boxes of ISO media files and of JPEG 2000."""
    place = 0
    for _ in range(_MAX_BOXES):
        if place + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, place)
        start = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, place + 8)
            start = 16
        end = len(data) if length == 0 else place + max(length, start)
        yield kind, data[place + start : end]
        place = end


def _top_box(file: IO[bytes], wanted: bytes) -> bytes:
    """Returns the body of a box of the file, or no bytes."""
    for _ in range(_MAX_BOXES):
        length, kind = struct.unpack(">I4s", file.read(8))
        start = 8
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
            start = 16
        if kind == wanted:
            return file.read(min(max(length - start, 0), _MAX_PROFILE_BYTES + _MAX_HEADER_BYTES))
        if length < start:
            return b""
        file.seek(length - start, 1)
    return b""


def _avif_colours(file: IO[bytes]) -> Colours | None:
    meta = dict(_boxes(_top_box(file, b"meta")[4:]))
    properties = dict(_boxes(meta.get(b"iprp", b"")))
    of_picture = _properties_of_primary(meta.get(b"pitm", b""), properties.get(b"ipma", b""))
    for number, (kind, body) in enumerate(_boxes(properties.get(b"ipco", b"")), 1):
        if kind == b"colr" and number in of_picture and body.startswith(b"nclx"):
            primaries, transfer = struct.unpack_from(">HH", body, 4)
            return _colours_of_numbers(primaries, transfer)
    return None


def _properties_of_primary(pitm: bytes, ipma: bytes) -> set[int]:
    """Returns the numbers of the properties of a file's primary item (ISO 23008-12, section 9.3)."""
    (primary,) = struct.unpack_from(">I" if pitm[0] else ">H", pitm, 4)
    version, is_wide = ipma[0], ipma[3] & 1
    (count,) = struct.unpack_from(">I", ipma, 4)
    place = 8
    for _ in range(min(count, _MAX_BOXES)):
        (item,) = struct.unpack_from(">I" if version else ">H", ipma, place)
        place += 4 if version else 2
        (associations,) = struct.unpack_from(">B", ipma, place)
        numbers = struct.unpack_from(f">{associations}{'H' if is_wide else 'B'}", ipma, place + 1)
        if item == primary:
            return {number & (0x7FFF if is_wide else 0x7F) for number in numbers}
        place += 1 + associations * (2 if is_wide else 1)
    return set()


def _jpeg2000_colours(file: IO[bytes]) -> Described:
    for kind, body in _boxes(_top_box(file, b"jp2h")):
        if kind != b"colr":
            continue
        method = body[0]
        if method in (2, 3):
            return body[3:]
        if method == 5:
            primaries, transfer = struct.unpack_from(">HH", body, 3)
            return _colours_of_numbers(primaries, transfer)
        (space,) = struct.unpack_from(">I", body, 3)
        if method == 1 and space == 21:
            return PROPHOTO
        if method != 1 or space not in (0, 12, 15, *_SRGB_SPACES):
            raise ImageError(f"JPEG 2000 of the colour space {space} by method {method}, expected sRGB (16), grey (17) or sYCC (18)")
        return Colours() if space in _SRGB_SPACES else None
    return None


def _bmp_colours(file: IO[bytes]) -> Described:
    head = file.read(14 + 124)
    (size,) = struct.unpack_from("<I", head, 14)
    if size < 108:
        return None
    kind = head[70:74][::-1]
    if kind in (b"MBED", b"LINK") and size >= 124:
        start, length = struct.unpack_from("<II", head, 126)
        if kind == b"LINK" or length > _MAX_PROFILE_BYTES:
            raise ImageError(
                f"BMP with a colour profile {'in another file' if kind == b'LINK' else f'of {length} bytes'}, expected it inside"
            )
        file.seek(14 + start)
        return file.read(length)
    if kind != bytes(4):
        return Colours() if kind == b"sRGB" else None
    return _bmp_calibrated(struct.unpack_from("<9I", head, 74), struct.unpack_from("<3I", head, 110))


def _bmp_calibrated(endpoints: tuple[int, ...], gammas: tuple[int, ...]) -> Colours | None:
    """Returns the colours of end points in XYZ of 2.30 bits, or in x, y and z, and of gammas of 16.16 bits; 0 stands for sRGB."""
    xyz = [[value / (1 << 30) for value in endpoints[start : start + 3]] for start in (0, 3, 6)]
    sums = [sum(one) for one in xyz]
    if not any(sums) and not any(gammas):
        return None
    colours = Colours()
    if all(sums):
        red, green, blue = ((one[0] / total, one[1] / total) for one, total in zip(xyz, sums, strict=True))
        total = sum(sums)
        white = (sum(one[0] for one in xyz) / total, sum(one[1] for one in xyz) / total)
        are_points = all(abs(one - 1) < 0.02 for one in sums)
        colours = Colours((red, green, blue), D65 if are_points else white)
    gamma = gammas[0] / 65536
    if not all(gammas) or (colours.has_srgb_primaries and _GAMMA_OF_SRGB[0] <= 1 / gamma <= _GAMMA_OF_SRGB[1]):
        return colours
    if max(gammas) - min(gammas) > 0.01 * max(gammas):
        raise ImageError(f"BMP of the gammas {', '.join(f'{one / 65536:g}' for one in gammas)}, expected three equal ones")
    return Colours(colours.primaries, colours.white, gamma)


def _gif_colours(file: IO[bytes]) -> bytes | None:
    """Returns the profile of the application extension ICCRGBG1, which is cut into blocks of up to 255 bytes."""
    head = file.read(_MAX_HEADER_BYTES)
    place = head.find(_GIF_PROFILE)
    if place < 0:
        return None
    place += len(_GIF_PROFILE)
    profile = b""
    while length := head[place]:
        profile += head[place + 1 : place + 1 + length]
        place += 1 + length
    return profile


READERS: Final = {"AVIF": _avif_colours, "BMP": _bmp_colours, "GIF": _gif_colours, "JPEG2000": _jpeg2000_colours}
"""Functions that read the colours that files of these formats state, since Pillow does not."""
