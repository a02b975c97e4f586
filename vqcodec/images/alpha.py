"""Alpha planes: coded without loss, and what pixels hide under alpha 0."""

from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from vqcodec.errors import FormatError
from vqcodec.format.layers import WEBP_SIGNATURE
from vqcodec.images.fill import fill_smoothly
from vqcodec.images.samples import raw_mode
from vqcodec.images.webp import MAX_SIDE_PX, decode_webp, encode_webp
from vqcodec.silence import warnings_ignored

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"


def encode_alpha(alpha: NDArray[np.uint8]) -> bytes:
    """Encodes an alpha plane, uint8 [H, W], without loss: as a WebP bitstream, or as a PNG where it is too large for that."""
    if max(alpha.shape) <= MAX_SIDE_PX:
        return encode_webp(alpha[:, :, None].repeat(3, axis=2))
    out = BytesIO()
    Image.fromarray(np.ascontiguousarray(alpha)).save(out, format="PNG", optimize=True)
    return out.getvalue()


def decode_alpha(data: bytes, *, width: int, height: int) -> NDArray[np.uint8]:
    """Decodes an alpha plane, uint8 [height, width], that `encode_alpha` encoded.

    Raises:
        FormatError: The data are neither an 8-bit grey PNG nor a lossless WebP bitstream of this size.
    """
    if data[:1] == WEBP_SIGNATURE:
        return np.ascontiguousarray(decode_webp(data, (width, height), "alpha plane")[:, :, 1])
    if not data.startswith(_PNG_SIGNATURE):
        raise FormatError(
            f"alpha plane is no PNG and no WebP bitstream but begins with {data[:8].hex(' ') or 'nothing'}, expected L {width}x{height}"
        )
    try:
        # `Image.open` would refuse more than `Image.MAX_IMAGE_PIXELS`, although this size is expected.
        with warnings_ignored(), PngImagePlugin.PngImageFile(BytesIO(data)) as image:
            if image.size != (width, height) or (image.mode, raw_mode(image)) != ("L", "L"):
                raise FormatError(f"alpha plane is {raw_mode(image)} {image.width}x{image.height}, expected L {width}x{height}")
            return np.asarray(image)
    except (FormatError, MemoryError):
        raise
    except Exception as error:
        raise FormatError(f"alpha plane cannot be read: {' '.join(str(error).split()) or type(error).__name__}") from error


def settle_alpha(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Returns pixels and alpha as they are encoded: an opaque plane is left out, and hidden colours are filled smoothly."""
    if alpha is None or (lowest := alpha.min()) == 255:
        return pixels, None
    return (fill_smoothly(pixels, alpha > 0) if lowest == 0 else pixels), alpha
