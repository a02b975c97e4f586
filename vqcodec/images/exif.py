"""EXIF as the bytes of a TIFF structure, changed in place, so that what cameras put at fixed places stays where it is."""

import re
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

EXIF_PREFIX: Final = b"Exif\0\0"
"""What some formats put before the TIFF structure."""
ORIENTATION, EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x0112, 0x8769, 0x8825, 0xA005
_COLOUR_SPACE, _INTEROP_INDEX = 0xA001, 1
_THUMBNAIL_START, _THUMBNAIL_BYTES, _STRIPS, _STRIP_BYTES = 0x0201, 0x0202, 0x0111, 0x0117
_TYPE_BYTES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_NUMBERS: Final = {1: "B", 3: "H", 4: "I", 13: "I"}
"""Types of values that are whole numbers, for `struct`."""
_SHORT: Final = 3
_HEADER_BYTES: Final = 8
_ENTRY_BYTES: Final = 12
_MOST_POINTERS: Final = 4
"""Entries of one tag in a directory that are followed; it should have one."""
_ADOBE_RGB: Final = 2
_UNCALIBRATED: Final = 0xFFFF


_AVIF_ITEM: Final = re.compile(rb"(infe[\x02\x03]...(?:..|....)..)Exif", re.DOTALL)


def hide_avif_exif(data: bytes) -> bytes:
    """Returns an AVIF file whose EXIF is an item of an unknown type: libavif refuses the whole picture where EXIF is damaged."""
    return _AVIF_ITEM.sub(rb"\1junk", data, count=1)


@dataclass(frozen=True)
class _Entry:
    """An entry of a directory: its tag, where it lies, and type, place and length of its value."""

    tag: int
    place: int
    kind: int
    start: int
    num_bytes: int


class Exif:
    """EXIF of a picture.

    Args:
        data: the TIFF structure, perhaps with `EXIF_PREFIX` before it.

    Raises:
        ValueError: The data are damaged.
    """

    def __init__(self, data: bytes) -> None:
        self._data = bytearray(data.removeprefix(EXIF_PREFIX))
        if (mark := bytes(self._data[:4])) not in (b"II*\0", b"MM\0*"):
            raise ValueError(f"it begins with {mark.hex(' ') or 'nothing'}, expected 49 49 2a 00 or 4d 4d 00 2a")
        self._order = "<" if self._data[:2] == b"II" else ">"
        self._erased: list[tuple[int, int]] = []
        self._first = self._integer("I", 4)
        self._entries(self._first)

    def __bytes__(self) -> bytes:
        return bytes(self._data)

    @property
    def orientation(self) -> int:
        """The orientation, 1 to 8."""
        entry = self._entries(self._first).get(ORIENTATION)
        value = self._number(entry)
        return value if value is not None and 1 <= value <= 8 else 1

    @property
    def colour_space(self) -> str:
        """What is said of the colours: "srgb", "adobe", "uncalibrated", or "" for nothing."""
        entries = self._directory(EXIF_IFD, self._entries(self._first))
        value = self._number(entries.get(_COLOUR_SPACE))
        index = self._directory(INTEROP_IFD, entries).get(_INTEROP_INDEX)
        is_adobe = index is not None and self._data[index.start : index.start + 3] == b"R03"
        if value == _ADOBE_RGB or (value == _UNCALIBRATED and is_adobe):
            return "adobe"
        return {1: "srgb", _UNCALIBRATED: "uncalibrated"}.get(value or 0, "")

    def reset_orientation(self) -> None:
        """Sets the orientation to 1, that of pixels that are as they should be shown."""
        entry = self._entries(self._first).get(ORIENTATION)
        if entry is not None:
            struct.pack_into(f"{self._order}HIHH", self._data, entry.place + 2, _SHORT, 1, 1, 0)

    def state_srgb(self) -> None:
        """Sets the colour space to sRGB where it is stated to be another."""
        if self.colour_space in ("adobe", "uncalibrated"):
            entry = self._directory(EXIF_IFD, self._entries(self._first))[_COLOUR_SPACE]
            struct.pack_into(f"{self._order}HIHH", self._data, entry.place + 2, _SHORT, 1, 1, 0)

    def remove_gps(self) -> None:
        """Removes the position: its directories, all values in them, and what points at them.

        Raises:
            ValueError: The data are damaged, so that the position may be left in them.
        """
        within_another = ValueError("the position lies within another directory, expected one of its own")
        pointers = self._pointers_to_gps()
        places = {place for own in pointers.values() for place in own}
        for holder, own in pointers.items():
            end = holder + 2 + _ENTRY_BYTES * len(self._all_entries(holder)) + 4
            is_changed = bool(own) or holder == self._first  # whose link to a thumbnail may have been taken out, too
            if is_changed and any(holder <= place < end for place in places):
                raise within_another
        for holder in pointers:
            self._take_out(GPS_IFD, holder)
        kept = [self._all_entries(holder) for holder in pointers]
        for place in places:
            self._erase_directory(place)
        if [self._all_entries(holder) for holder in pointers] != kept:
            raise within_another

    def remove_thumbnail(self) -> bool:
        """Removes the thumbnail, which is as the picture was before it was turned, and returns whether there was one."""
        link = self._first + 2 + _ENTRY_BYTES * self._integer("H", self._first)
        if link + 4 > len(self._data) or not (place := self._integer("I", link)):
            return False
        struct.pack_into(f"{self._order}I", self._data, link, 0)
        try:
            entries = self._entries(place)
        except ValueError:
            return False
        for first, size in ((_THUMBNAIL_START, _THUMBNAIL_BYTES), (_STRIPS, _STRIP_BYTES)):
            start, length = self._number(entries.get(first)), self._number(entries.get(size))
            if start is not None and length is not None:
                self._erase(start, length)
        with suppress(ValueError):  # where it is damaged, nothing leads to it any more
            of_picture = {other for own in self._pointers_to_gps().values() for other in own}
            for other in {*self._pointers(GPS_IFD, place)} - of_picture:
                self._erase_directory(other)
            self._erase_directory(place)
        self._data = self._data[: max(self._end_of_rest(), link + 4)]
        return True

    def _end_of_rest(self) -> int:
        """Returns where the data end without what was erased at their end; zeros before that may be values."""
        end = len(self._data)
        for start, stop in sorted(self._erased, key=lambda place: place[1], reverse=True):
            if stop < end:
                break
            end = min(end, start)
        return end

    def _integer(self, kind: str, place: int) -> int:
        try:
            (value,) = struct.unpack_from(self._order + kind, self._data, place)
        except struct.error as error:
            raise ValueError(f"it ends at byte {len(self._data)}, expected a value at {place}") from error
        return int(value)

    def _all_entries(self, place: int) -> list[_Entry]:
        """Returns the entries of a directory; values of unknown types have no bytes."""
        if place < _HEADER_BYTES:
            raise ValueError(f"a directory begins at byte {place}, expected {_HEADER_BYTES} or a later one")
        entries = []
        for number in range(self._integer("H", place)):
            own = place + 2 + _ENTRY_BYTES * number
            tag, kind = self._integer("H", own), self._integer("H", own + 2)
            length = _TYPE_BYTES.get(kind, 0) * self._integer("I", own + 4)
            entries.append(_Entry(tag, own, kind, own + 8 if length <= 4 else self._integer("I", own + 8), length))
        return entries

    def _entries(self, place: int) -> dict[int, _Entry]:
        """Returns the entries of a directory by their tags; those that end outside of the data, or whose values do, are left out."""
        return {
            entry.tag: entry
            for entry in self._all_entries(place)
            if entry.num_bytes and max(entry.start + entry.num_bytes, entry.place + _ENTRY_BYTES) <= len(self._data)
        }

    def _pointers(self, tag: int, place: int) -> list[int]:
        """Returns where the directories begin that the entries of a tag point at, of which damaged data may have several.

        Raises:
            ValueError: One of them holds no number, or there are more than `_MOST_POINTERS`.
        """
        entries = [entry for entry in self._all_entries(place) if entry.tag == tag]
        if len(entries) > _MOST_POINTERS:
            raise ValueError(f"{len(entries)} entries of tag {tag:#x} in a directory, expected {_MOST_POINTERS} at most")
        found = []
        for entry in entries:
            if (number := self._number(entry)) is None:
                raise ValueError(f"tag {tag:#x} of type {entry.kind}, expected one of {', '.join(map(str, _NUMBERS))}")
            found.append(number)
        return found

    def _pointers_to_gps(self) -> dict[int, list[int]]:
        """Returns where the directories of positions begin, by the directories of the picture that may point at them.

        Raises:
            ValueError: As `_pointers`.
        """
        holders = [self._first, *self._pointers(EXIF_IFD, self._first)]
        return {holder: self._pointers(GPS_IFD, holder) for holder in holders}

    def _take_out(self, tag: int, place: int) -> None:
        """Takes the entries of a tag out of a directory."""
        entries = self._all_entries(place)
        kept = [self._data[entry.place : entry.place + _ENTRY_BYTES] for entry in entries if entry.tag != tag]
        if num_found := len(entries) - len(kept):
            end = place + 2 + _ENTRY_BYTES * len(entries)
            self._data[place + 2 : end + 4] = b"".join(kept) + self._data[end : end + 4] + bytes(_ENTRY_BYTES * num_found)
            struct.pack_into(f"{self._order}H", self._data, place, len(kept))

    def _number(self, entry: _Entry | None) -> int | None:
        return None if entry is None or entry.kind not in _NUMBERS else self._integer(_NUMBERS[entry.kind], entry.start)

    def _directory(self, tag: int, entries: dict[int, _Entry]) -> dict[int, _Entry]:
        """Returns the entries of a directory that a tag points at; none where it is damaged."""
        place = self._number(entries.get(tag))
        try:
            return {} if place is None else self._entries(place)
        except ValueError:
            return {}

    def _erase(self, start: int, length: int) -> None:
        start, end = max(start, _HEADER_BYTES), min(start + length, len(self._data))
        if start < end:
            self._data[start:end] = bytes(end - start)
            self._erased.append((start, end))

    def _erase_directory(self, place: int) -> None:
        """Erases a directory and all values in it.

        Raises:
            ValueError: It is damaged, or a value ends outside of the data.
        """
        entries = self._all_entries(place)
        if (end := max((entry.start + entry.num_bytes for entry in entries), default=0)) > len(self._data):
            raise ValueError(f"it ends at byte {len(self._data)}, expected a value up to {end}")
        for entry in entries:
            self._erase(entry.start, entry.num_bytes)
        self._erase(place, 2 + _ENTRY_BYTES * len(entries) + 4)
