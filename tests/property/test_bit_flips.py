"""Checks that damage of any kind raises `VqcodecError`, and nothing else."""

import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import vqcodec
from tests.conftest import make_picture
from vqcodec.format.container import FORMAT_VERSION, MAGIC, crc16, read_container, write_container


def test_2000_flips_are_all_refused(small_model: str) -> None:
    image = Image.fromarray(make_picture(64, 64))
    image.putalpha(254)
    image.info["xmp"] = b"<x/>"
    data = vqcodec.encode(image, model=small_model, quality=100)
    rng = np.random.default_rng(0)
    for position in rng.choice(8 * len(data), size=2000, replace=8 * len(data) < 2000):
        broken = bytearray(data)
        broken[position // 8] ^= 1 << position % 8
        with pytest.raises(vqcodec.VqcodecError) as caught:
            vqcodec.decode(bytes(broken))
        assert "\n" not in str(caught.value)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=120), with_magic=st.booleans(), with_crc=st.booleans())
def test_arbitrary_bytes(small_model: str, data: bytes, with_magic: bool, with_crc: bool) -> None:
    data = (MAGIC + bytes([FORMAT_VERSION]) if with_magic else b"") + data
    with pytest.raises(vqcodec.VqcodecError):
        vqcodec.decode(data + (zlib.crc32(data).to_bytes(4, "little") if with_crc else b""))


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_payloads_damaged_behind_correct_checksums(small_model: str, seed: int) -> None:
    """Damage that the checksums of the bytes miss is found by the coders and by the checksum of the codes."""
    rng = np.random.default_rng(seed)
    intact = read_container(vqcodec.encode(make_picture(72, 56), model=small_model, quality=100))
    number = int(rng.integers(len(intact.payloads)))
    payload = bytearray(intact.payloads[number])
    payload[rng.integers(len(payload))] ^= int(rng.integers(1, 256))
    damaged = bytes(payload[: len(payload) - int(rng.integers(3))])
    payloads = [*intact.payloads[:number], damaged, *intact.payloads[number + 1 :]]
    maps = list(intact.header.maps)
    maps[number] = replace(maps[number], num_bytes=len(damaged), payload_crc=crc16(damaged))
    data = write_container(replace(intact, header=replace(intact.header, maps=tuple(maps)), payloads=tuple(payloads)))
    with pytest.raises(vqcodec.VqcodecError) as caught:
        vqcodec.decode(data)
    assert "\n" not in str(caught.value)
