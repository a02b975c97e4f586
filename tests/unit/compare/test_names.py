"""Checks that names of codecs that are known beforehand are those of the codecs."""

from vqcodec.compare.names import ALL, USUAL
from vqcodec.compare.selection import CODECS


def test_they_are_those_of_all_codecs() -> None:
    assert ALL == tuple(codec.name for codec in CODECS)
    assert set(USUAL) < set(ALL)
