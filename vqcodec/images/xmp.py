"""XMP packets, changed as text."""

import re
from typing import Final

_ORIENTATION: Final = re.compile(rb"""(tiff:Orientation\s*=\s*["']|<tiff:Orientation>\s*)([0-9])""")
_GPS_ATTRIBUTE: Final = re.compile(rb"""(?<!\s)\s+exif:GPS\w*\s*=\s*("[^"]*"|'[^']*')""")
_POSITION: Final = re.compile(rb"gps.?l(?:at|on)|geo:l(?:at|on)|latitude|longi?tude|:gps|gps.?(?:pos|alt|dest)|geo.?pos", re.IGNORECASE)
"""What tells of a position that is not removed by itself: EXIF's under other prefixes and in other forms, those of drones and of WGS84."""
_GPS_ELEMENT: Final = re.compile(rb"<exif:(GPS\w*)\b(?:[^<>]*/>|[^<>]*>[^<]*</exif:\1\s*>)")


def orientation_of_xmp(xmp: bytes) -> int:
    """Returns the orientation that a packet states, 1 where it states none."""
    found = _ORIENTATION.search(xmp)
    return int(found[2]) if found and found[2] in b"12345678" else 1


def reset_xmp_orientation(xmp: bytes) -> bytes:
    """Returns a packet whose orientation is 1, where it has one."""
    return _ORIENTATION.sub(rb"\g<1>1", xmp)


def without_gps(xmp: bytes) -> bytes | None:
    """Returns a packet without the position, or None where the packet still has one that is written in an unusual way."""
    left = _GPS_ELEMENT.sub(b"", _GPS_ATTRIBUTE.sub(b"", xmp))
    return None if _POSITION.search(left.replace(b"\0", b"")) else left
