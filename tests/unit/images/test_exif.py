"""Checks that EXIF is changed in place: everything else stays where it is."""

import struct
from io import BytesIO

import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from tests.conftest import make_picture
from vqcodec.images.exif import EXIF_PREFIX, Exif, hide_avif_exif

MAKER_NOTE = b"made by no one" * 3
PLACE = {1: "N", 2: (48.0, 8.0, 14.0), 3: "E", 4: (11.0, 34.0, 31.0)}


def make_exif(*, orientation: int = 6, big: bool = False, gps: bool = True, colour_space: int = 1, index: str = "R98") -> bytes:
    """Returns EXIF with a maker note, and a position where `gps` is set."""
    exif = Image.Exif()
    exif.endian = ">" if big else "<"
    exif[0x010F] = "Made by hand"
    exif[0x0112] = orientation
    exif[0x9286] = "later"
    exif[0x8769] = {0x927C: MAKER_NOTE, 0xA001: colour_space, 0xA005: {1: index}}
    if gps:
        exif[0x8825] = PLACE
    return exif.tobytes()


def reread(exif: Exif) -> Image.Exif:
    again = Image.Exif()
    again.load(bytes(exif))
    return again


def with_thumbnail(exif: bytes, thumbnail: bytes) -> bytes:
    """Returns little-endian EXIF with a second directory, that of a thumbnail."""
    data = bytearray(exif.removeprefix(EXIF_PREFIX))
    first = int.from_bytes(data[4:8], "little")
    link = first + 2 + 12 * int.from_bytes(data[first : first + 2], "little")
    place = len(data)
    data[link : link + 4] = place.to_bytes(4, "little")
    start = place + 2 + 2 * 12 + 4
    for number, (tag, value) in enumerate(((0x0201, start), (0x0202, len(thumbnail)))):
        data += (b"\2\0" if not number else b"") + tag.to_bytes(2, "little") + b"\4\0\1\0\0\0" + value.to_bytes(4, "little")
    return bytes(data + bytes(4) + thumbnail)


def directory(*entries: tuple[int, int, int, int]) -> bytes:
    """Returns a directory of a little-endian TIFF, of tags, kinds, lengths and values."""
    return struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)


def laid_out(parts: dict[int, bytes]) -> bytes:
    """Returns little-endian EXIF of 600 bytes with parts at some places, the first directory at 8."""
    data = bytearray(b"II*\0\x08".ljust(600, b"\0"))
    for place, part in parts.items():
        data[place : place + len(part)] = part
    return bytes(data)


@pytest.mark.parametrize("big", [False, True])
def test_orientation_is_reset_in_place(big: bool) -> None:
    data = make_exif(big=big)
    exif = Exif(data)
    assert bytes(exif) == data.removeprefix(EXIF_PREFIX) and exif.orientation == 6
    exif.reset_orientation()
    assert exif.orientation == 1 and len(bytes(exif)) == len(data) - 6
    assert sum(a != b for a, b in zip(bytes(exif), data[6:], strict=True)) == 1
    assert reread(exif)[0x0112] == 1 and reread(exif).get_ifd(0x8769)[0x927C] == MAKER_NOTE


@pytest.mark.parametrize("big", [False, True])
def test_position_is_removed_with_all_its_values(big: bool) -> None:
    data = make_exif(big=big)
    exif = Exif(data)
    exif.remove_gps()
    again = reread(exif)
    assert 0x8825 not in again and again[0x010F] == "Made by hand" and again[0x9286] == "later"
    assert again.get_ifd(0x8769)[0x927C] == MAKER_NOTE
    seconds = reread(Exif(data)).get_ifd(0x8825)[4][2]
    rational = int(seconds * 1).to_bytes(4, "big" if big else "little")
    assert rational in data and rational not in bytes(exif)
    first = 8
    (before, after) = (int.from_bytes(one[first : first + 2], "big" if big else "little") for one in (data[6:], bytes(exif)))
    assert after == before - 1
    unchanged = Exif(make_exif(gps=False))
    unchanged.remove_gps()
    assert bytes(unchanged) == make_exif(gps=False).removeprefix(EXIF_PREFIX)


def test_every_one_of_several_positions_is_removed() -> None:
    kept = {400: directory((0xA001, 3, 1, 1)), 590: b"at the end"}
    first = [(0x8825, 4, 1, 100), (0x010E, 2, 2, 0x41), (0x8769, 4, 1, 400), (0x8825, 13, 1, 200), (0x8769, 4, 1, 500)]
    places = {100: directory((2, 1, 9, 150), (2, 1, 9, 170)), 200: directory((4, 1, 9, 250)), 300: directory((4, 1, 9, 350))}
    values = {150: b"latitude1", 170: b"latitude2", 250: b"longitude", 350: b"longitude"}
    another = [(0x8825, 4, 1, 300), (0xA002, 3, 1, 9)]
    exif = Exif(laid_out({8: directory(*first), 500: directory(*another)} | kept | places | values))
    exif.remove_gps()
    assert bytes(exif) == laid_out({8: directory(*(entry for entry in first if entry[0] != 0x8825)), 500: directory(another[1])} | kept)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([(0x8825, 7, 4, 100)], "tag 0x8825 of type 7, expected one of 1, 3, 4, 13"),
        ([(0x8825, 4, 1, 7)], "a directory begins at byte 7, expected 8 or a later one"),
        ([(0x8825, 4, 1, 599)], "it ends at byte 600, expected a value at 599"),
        ([(0x8825, 4, 1, 100)], "it ends at byte 600, expected a value up to 605"),
        ([(0x8825, 4, 1, 8), (0x010E, 2, 2, 0x41)], "the position lies within another directory, expected one of its own"),
        ([(0x8825, 4, 1, 200)] * 5, "5 entries of tag 0x8825 in a directory, expected 4 at most"),
    ],
)
def test_a_position_that_may_be_left_is_told(entries: list[tuple[int, int, int, int]], message: str) -> None:
    exif = Exif(laid_out({8: directory(*entries), 100: directory((2, 1, 15, 590)), 590: b"position"}))
    with pytest.raises(ValueError, match=message):
        exif.remove_gps()


@pytest.mark.parametrize("holder", [8, 300])
@pytest.mark.parametrize("drops_thumbnail", [False, True])
def test_a_position_that_begins_where_another_directory_has_its_link_is_told(holder: int, drops_thumbnail: bool) -> None:
    """Where a directory has no link to a next one, and that of the position follows: the link is taken out, or moved up."""
    own = directory((0x8825, 4, 1, holder + 26), (0x010E, 2, 2, 0x41))[:-4] + directory((2, 1, 9, 150))
    parts = {8: own} if holder == 8 else {8: directory((0x8769, 4, 1, 300)), 300: own}
    exif = Exif(laid_out(parts | {150: b"latitude1"}))
    if drops_thumbnail:
        exif.remove_thumbnail()
    with pytest.raises(ValueError, match="within another directory"):
        exif.remove_gps()


def test_the_position_of_a_thumbnail_is_removed_with_it() -> None:
    """But not that of the picture."""
    of_picture = {8: directory((0x8825, 4, 1, 100))[:-4] + struct.pack("<I", 300), 100: directory((2, 1, 9, 150)), 150: b"latitude1"}
    of_thumbnail = {300: directory((0x8825, 4, 1, 100), (0x8825, 4, 1, 200)), 200: directory((2, 1, 9, 250)), 250: b"latitude2"}
    exif = Exif(laid_out(of_picture | of_thumbnail | {590: b"at the end"}))
    assert exif.remove_thumbnail()
    assert b"latitude1" in bytes(exif) and b"latitude2" not in bytes(exif)


def test_a_thumbnail_is_removed() -> None:
    thumbnail = b"\xff\xd8" + bytes(range(1, 200))
    data = with_thumbnail(make_exif(), thumbnail)
    exif = Exif(data)
    assert exif.remove_thumbnail()
    assert thumbnail[:20] not in bytes(exif) and len(bytes(exif)) <= len(data) - len(thumbnail)
    assert reread(exif).get_ifd(0x8769)[0x927C] == MAKER_NOTE
    without_place = Exif(data)
    without_place.remove_gps()
    assert without_place.remove_thumbnail() and thumbnail[:20] not in bytes(without_place)
    assert not exif.remove_thumbnail() and not Exif(make_exif()).remove_thumbnail()


def test_values_before_a_thumbnail_keep_their_zeros() -> None:
    made = Image.Exif()
    made.endian = "<"
    made[0x011A] = IFDRational(1, 50)  # its last three bytes are 0
    exif = Exif(with_thumbnail(made.tobytes(), b"\xff\xd8thumbnail"))
    assert exif.remove_thumbnail()
    assert reread(exif)[0x011A] == IFDRational(1, 50) and len(bytes(exif)) == len(made.tobytes().removeprefix(EXIF_PREFIX))


@pytest.mark.parametrize(
    ("colour_space", "index", "expected"),
    [(1, "R98", "srgb"), (2, "R98", "adobe"), (0xFFFF, "R03", "adobe"), (0xFFFF, "R98", "uncalibrated"), (7, "R98", "")],
)
def test_colour_space(colour_space: int, index: str, expected: str) -> None:
    exif = Exif(make_exif(colour_space=colour_space, index=index))
    assert exif.colour_space == expected
    exif.state_srgb()
    assert exif.colour_space == (expected and "srgb")
    assert Exif(Image.Exif().tobytes()).colour_space == ""


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "begins with nothing, expected 49 49 2a 00"),
        (b"junk and more of it", "begins with 6a 75 6e 6b"),
        (b"II*\0\xff\0\0\0", "ends at byte 8, expected a value at 255"),
        (b"II*\0\x08\0\0\0\x09\0", "ends at byte 10, expected a value at 10"),
        (b"MM\0*\0\0\0\4" + bytes(8), "a directory begins at byte 4, expected 8 or a later one"),
    ],
)
def test_damage_is_told(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Exif(data)


def test_no_damage_makes_anything_but_value_errors() -> None:
    data = with_thumbnail(make_exif(), b"thumbnail").removeprefix(EXIF_PREFIX)
    for place in range(4, len(data)):
        for value in (0, 255):
            damaged = data[:place] + bytes([value]) + data[place + 1 :]
            try:
                exif = Exif(damaged)
            except ValueError:
                continue
            assert exif.colour_space in ("srgb", "adobe", "uncalibrated", "")
            try:
                exif.reset_orientation()
                exif.state_srgb()
                exif.remove_thumbnail()
                exif.remove_gps()
            except ValueError:
                continue
            assert exif.orientation == 1


def test_an_entry_that_is_cut_behind_its_value_is_left_alone() -> None:
    data = b"II*\0" + struct.pack("<IHHHIH", 8, 1, 0x0112, 3, 1, 6)
    exif = Exif(data)
    exif.reset_orientation()
    assert bytes(exif) == data and exif.orientation == 1


def test_exif_of_avif_is_hidden() -> None:
    out = BytesIO()
    Image.fromarray(make_picture(16, 16)).save(out, "AVIF", exif=make_exif(orientation=1))
    image = Image.open(BytesIO(hide_avif_exif(out.getvalue())))
    image.load()
    assert "exif" in Image.open(out).info and "exif" not in image.info
