"""Checks the description of .vq files."""

from dataclasses import replace
from pathlib import Path

import pytest

from vqcodec.errors import FormatError
from vqcodec.format.chunks import Chunk, chunks_length
from vqcodec.format.container import read_container, write_container
from vqcodec.info import LayerInfo, MapInfo, read_info

GOLDEN = Path(__file__).parents[1] / "golden" / "v4"


def test_a_file_of_a_model_that_is_not_installed() -> None:
    data = (GOLDEN / "rgba-prior.vq").read_bytes()
    info = read_info(data)
    assert (info.format_version, info.model, info.width, info.height, info.mode) == (4, "#1001", 120, 100, "RGBA")
    assert info.num_bytes == len(data) and info.bpp == 8 * len(data) / 12000
    assert [entry.name for entry in info.maps] == ["top", "bottom", "refine_1"]
    top = info.maps[0]
    assert top == MapInfo("top", 13, 15, 195, top.num_bytes, 8 * top.num_bytes / 195, "prior", 16)
    header_bytes = info.num_bytes - info.metadata_bytes - sum(entry.num_bytes for entry in info.maps)
    assert info.metadata_bytes > 0 and 0 < header_bytes < 50


def test_a_file_of_the_shipped_model() -> None:
    assert read_info((GOLDEN / "photo-v5.vq").read_bytes()).model == "photo-v5"


@pytest.mark.parametrize(
    ("name", "shares"),
    [
        ("rgb-prior", {}),
        ("exact-patch", {"exact": 0.15}),
        ("exact-all", {"exact": 1.0}),
        ("colour-layer", {"colour": 1.0}),
        ("colour-layer-exact-patch", {"colour": 1.0, "exact": 0.15}),
        ("avif", {"avif": 1.0}),
        ("avif-exact-patch", {"avif": 1.0, "exact": 0.15}),
    ],
)
def test_layers(name: str, shares: dict[str, float]) -> None:
    data = (GOLDEN / f"{name}.vq").read_bytes()
    info, chunks = read_info(data), read_container(data).layers
    lengths = [len(chunk.body) for chunk in chunks]
    assert info.layers == tuple(LayerInfo(*one) for one in zip(shares, lengths, shares.values(), strict=True))
    assert info.num_bytes - sum(lengths) - sum(entry.num_bytes for entry in info.maps) < 60


def test_checksums_of_other_groups_are_told() -> None:
    container = read_container((GOLDEN / "rgb-prior.vq").read_bytes())
    chunks = (Chunk(b"gSUM", bytes(4)),)
    header = replace(container.header, layers_bytes=chunks_length(chunks))
    with pytest.raises(FormatError, match="checksums of tile groups"):
        read_info(write_container(replace(container, header=header, layers=chunks)))


def test_damage_is_told() -> None:
    data = (GOLDEN / "rgba-prior.vq").read_bytes()
    with pytest.raises(FormatError, match="file ends after"):
        read_info(data[:-1])
