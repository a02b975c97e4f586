"""A flipped bit never goes unnoticed, and never does anything but raise `VqcodecError`."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import vqcodec
from tests.conftest import make_picture


def test_2000_flips_are_all_refused(small_model: str) -> None:
    image = Image.fromarray(make_picture(64, 64)).convert("RGBA")
    data = vqcodec.encode(image, model=small_model, quality=100)
    rng = np.random.default_rng(0)
    for position in rng.choice(8 * len(data), size=2000, replace=8 * len(data) < 2000):
        broken = bytearray(data)
        broken[position // 8] ^= 1 << position % 8
        with pytest.raises(vqcodec.VqcodecError) as caught:
            vqcodec.decode(bytes(broken))
        assert "\n" not in str(caught.value)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=120), with_magic=st.booleans())
def test_arbitrary_bytes(small_model: str, data: bytes, with_magic: bool) -> None:
    with pytest.raises(vqcodec.VqcodecError):
        vqcodec.decode((b"\x89VQ\x01" if with_magic else b"") + data)
