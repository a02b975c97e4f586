"""Checks which requests are understood."""

import pytest

from vqcodec.serve.protocol import Task


def test_options_have_defaults() -> None:
    assert Task.of("code", "id", b"data", {}) == Task("code", "id", b"data", quality=50.0, tune="iq", realism=0.0)
    assert Task.of("peer", "id", b"", {"peer": "avif", "num_bytes": 9}).peer == "avif"


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("code", {"quality": 0}, "quality must be a number in 1..100"),
        ("code", {"quality": True}, "quality"),
        ("code", {"quality": float("nan")}, "quality"),
        ("code", {"quality": "50"}, "quality"),
        ("code", {"realism": 1.1}, "realism must be a number in 0..1"),
        ("code", {"tune": "best"}, "tune must be one of iq, psnr, perceptual"),
        ("code", {"tune": []}, "tune"),
        ("peer", {"peer": "gif"}, "peer must be one of jpeg, webp, avif"),
        ("peer", {"num_bytes": -1}, "num_bytes"),
        ("code", {"data": ""}, "expected an object"),
        ("code", [], "expected an object"),
        ("code", None, "expected an object"),
        ("upload", {}, "kind must be one of"),
    ],
)
def test_others_are_refused(kind: str, options: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Task.of(kind, "id", b"", options)
