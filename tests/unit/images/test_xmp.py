"""Checks what is changed in XMP packets."""

import pytest

from vqcodec.images.xmp import orientation_of_xmp, reset_xmp_orientation, without_gps

ATTRIBUTES = b'<rdf:Description tiff:Orientation="6" exif:GPSLatitude="48,8.2N" exif:GPSLongitude=\'11,34.5E\' xmp:Rating="5"/>'
ELEMENTS = b"""<rdf:Description><tiff:Orientation>8</tiff:Orientation>
<exif:GPSLatitude>48,8.2N</exif:GPSLatitude><exif:GPSVersionID/><xmp:Rating>5</xmp:Rating></rdf:Description>"""


def test_orientation() -> None:
    for packet, orientation in [(ATTRIBUTES, 6), (ELEMENTS, 8), (b"<x/>", 1), (b'tiff:Orientation="9"', 1)]:
        assert orientation_of_xmp(packet) == orientation
        assert orientation_of_xmp(reset_xmp_orientation(packet)) == 1
    assert reset_xmp_orientation(ATTRIBUTES) == ATTRIBUTES.replace(b'"6"', b'"1"')


def test_position() -> None:
    assert without_gps(ATTRIBUTES) == b'<rdf:Description tiff:Orientation="6" xmp:Rating="5"/>'
    assert without_gps(ELEMENTS) == b"<rdf:Description><tiff:Orientation>8</tiff:Orientation>\n<xmp:Rating>5</xmp:Rating></rdf:Description>"
    assert without_gps(b"<x/>") == b"<x/>"


def test_a_packet_of_a_mebibyte_is_read_without_backtracking() -> None:
    spaces = b" " * (1 << 20)
    for packet, left in ((spaces, spaces), (b"<exif:GPSLatitude>" * (1 << 16), None), (b' exif:GPSLatitude="' * (1 << 16), b"")):
        assert without_gps(packet) == left


def test_a_position_in_an_unusual_form_is_told() -> None:
    assert without_gps(ATTRIBUTES.replace(b"exif:", b"other:")) is None
    assert without_gps(ATTRIBUTES.decode().encode("utf-16")) is None


@pytest.mark.parametrize(
    "position",
    [
        b'drone-dji:GpsLatitude="+47.2"',
        b'geo:lat="47.2"',
        b"<x:Longitude>8.3</x:Longitude>",
        b'a:GpsLongtitude="8.3"',
        b'e:GPSAltitude="5/1"',
        b'e:GPSDestBearing="4"',
        b'e:GPSPosition="48 11"',
        b'GeoPos="48 11"',
    ],
)
def test_positions_in_unusual_places_cost_the_packet(position: bytes) -> None:
    assert without_gps(b"<x:xmpmeta><rdf:Description " + position + b"/></x:xmpmeta>") is None


def test_words_that_are_no_positions_stay() -> None:
    packet = b'<x:xmpmeta><rdf:Description dc:title="A long day in Lat Krabang"/></x:xmpmeta>'
    assert without_gps(packet) == packet
