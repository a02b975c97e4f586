"""Names of the codecs that are compared, which are known before any of them is loaded."""

from typing import Final

USUAL: Final = ("vqcodec", "jpeg", "webp", "avif", "jpeg-xl")
"""Codecs that are compared unless others are named: those that one chooses between for photos."""

ALL: Final = (
    "vqcodec",
    "vqcodec-psnr",
    "vqcodec-perceptual",
    "vqcodec-nearest",
    "vqcodec-static",
    "vqcodec-raw",
    "jpeg",
    "jpeg-trellis",
    "webp",
    "jpeg-2000",
    "avif",
    "avif-psnr",
    "jpeg-xl",
    "heic",
    "vvc",
)
"""All codecs, in the order of plots."""
