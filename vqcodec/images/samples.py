"""Checks of how a picture file stores its samples, since Pillow hands some of them out in a way that gives wrong colours."""

from typing import Final

from PIL import Image

from vqcodec.errors import ImageError

_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_SAMPLE_FORMAT = 258, 262, 339
_TIFF_WHITE_IS_ZERO: Final = 0
_TIFF_UNSIGNED: Final = (1, 4)
"""Values of the sample format for unsigned integers, and for data of unknown kind."""
_GAMMA_OF_SRGB: Final = (0.4, 0.5)
"""Range of the gamma that a PNG of sRGB pixels may state."""


def check_samples(image: Image.Image) -> None:
    """Checks a picture that was opened from a file, before its pixels are loaded.

    Raises:
        ImageError: A TIFF or PNG whose samples Pillow would hand out unscaled, inverted, or with the wrong transparency, or a PNG whose
            gamma is far from that of sRGB.
    """
    if image.format == "TIFF":
        _check_tiff(image)
    elif image.format == "PNG":
        _check_png(image)


def raw_mode(image: Image.Image) -> str:
    """Returns Pillow's name for the samples as the file stores them, such as "LA;16B"; empty for pixels that are in memory."""
    tiles = getattr(image, "tile", [])
    return str(tiles[0].args) if tiles else ""


def _check_png(image: Image.Image) -> None:
    gamma = image.info.get("gamma")
    if gamma is not None and not {"icc_profile", "srgb"} & image.info.keys() and not _GAMMA_OF_SRGB[0] <= gamma <= _GAMMA_OF_SRGB[1]:
        raise ImageError(f"PNG of gamma {gamma:g}, expected 0.45455, that of sRGB; convert it to sRGB first")
    samples = raw_mode(image)
    if "transparency" in image.info and samples in ("L;2", "L;4", "RGB;16B"):  # Pillow compares the colour with samples of another depth
        raise ImageError(f"PNG of {samples} samples with a transparent colour; convert it to 8 bits with an alpha channel first")
    if samples == "LA;16B":  # Pillow reads it as RGBA
        raise ImageError("PNG of 16-bit grey with alpha; convert it to 8 bits first")


def _check_tiff(image: Image.Image) -> None:
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_TIFF_BITS, (1,))
    depth = max(bits) if isinstance(bits, tuple) else bits
    if depth not in (1, 2, 4, 8, 16):
        raise ImageError(f"TIFF of {depth} bits a sample, expected 8 or 16")
    if tags.get(_TIFF_SAMPLE_FORMAT, (1,))[0] not in _TIFF_UNSIGNED:
        raise ImageError("TIFF of signed or floating-point samples, expected unsigned ones")
    if depth == 16 and tags.get(_TIFF_PHOTOMETRIC) == _TIFF_WHITE_IS_ZERO:
        raise ImageError("16-bit TIFF in which 0 is white; convert it to one in which 0 is black")
