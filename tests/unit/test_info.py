"""Checks the description of .vq files."""

from pathlib import Path

import pytest

from vqcodec.errors import FormatError
from vqcodec.info import MapInfo, read_info

GOLDEN = Path(__file__).parents[1] / "golden" / "v4"


def test_a_file_of_a_model_that_is_not_installed() -> None:
    data = (GOLDEN / "rgba-prior.vq").read_bytes()
    info = read_info(data)
    assert (info.format_version, info.model, info.width, info.height, info.mode) == (4, "#1001", 120, 100, "RGBA")
    assert info.num_bytes == len(data) and info.bpp == 8 * len(data) / 12000
    assert [entry.name for entry in info.maps] == ["top", "bottom", "refine_1"]
    top = info.maps[0]
    assert top == MapInfo("top", 13, 15, 195, top.num_bytes, 8 * top.num_bytes / 195, "prior")
    header_bytes = info.num_bytes - info.metadata_bytes - sum(entry.num_bytes for entry in info.maps)
    assert info.metadata_bytes > 0 and 0 < header_bytes < 50


def test_a_file_of_the_shipped_model() -> None:
    assert read_info((GOLDEN / "photo-v5.vq").read_bytes()).model == "photo-v5"


def test_damage_is_told() -> None:
    data = (GOLDEN / "rgba-prior.vq").read_bytes()
    with pytest.raises(FormatError, match="file ends after"):
        read_info(data[:-1])
