"""Alpha planes: coded without loss, and what pixels hide under alpha 0."""

import warnings
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vqcodec.errors import FormatError
from vqcodec.images.samples import raw_mode


def alpha_to_png(alpha: NDArray[np.uint8]) -> bytes:
    """Encodes an alpha plane, uint8 [H, W], as a PNG without loss."""
    out = BytesIO()
    Image.fromarray(np.ascontiguousarray(alpha)).save(out, format="PNG", optimize=True)
    return out.getvalue()


def alpha_from_png(data: bytes, *, width: int, height: int) -> NDArray[np.uint8]:
    """Decodes an alpha plane, uint8 [height, width], that `alpha_to_png` encoded.

    Raises:
        FormatError: The data are not an 8-bit grey PNG of this size.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(data), formats=("PNG",)) as image:
                if image.size != (width, height) or (image.mode, raw_mode(image)) != ("L", "L"):
                    raise FormatError(f"alpha plane is {raw_mode(image)} {image.width}x{image.height}, expected L {width}x{height}")
                return np.asarray(image)
    except FormatError:
        raise
    except UnidentifiedImageError as error:
        raise FormatError(f"alpha plane is no PNG but begins with {data[:8].hex(' ') or 'nothing'}, expected L {width}x{height}") from error
    except Exception as error:
        raise FormatError(f"alpha plane cannot be read: {' '.join(str(error).split()) or type(error).__name__}") from error


def settle_alpha(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Returns pixels and alpha as they are encoded: an opaque plane is left out, and hidden colours are filled by `fill_hidden`."""
    if alpha is None or (lowest := alpha.min()) == 255:
        return pixels, None
    return (fill_hidden(pixels, alpha) if lowest == 0 else pixels), alpha


def fill_hidden(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fills pixels of alpha 0 smoothly from those around them, so that they cost little and do not stain visible edges.

    A pyramid of means of visible pixels is made, and every pixel mixes the means of all levels by the share of visible pixels in them, the
    finer ones first (pull-push, Gortler et al. 1996, section 3.4). Visible pixels stay as they are. Where nothing is visible, everything
    is grey.

    Args:
        pixels: uint8 [H, W] or [H, W, 3].
        alpha: uint8 [H, W].
    """
    hidden = alpha == 0
    if hidden.all():
        return np.full_like(pixels, 128)
    planes = pixels[:, :, None] if pixels.ndim == 2 else pixels
    visible = (~hidden).astype(np.float32)
    filled = np.empty_like(planes)
    for channel in range(planes.shape[2]):
        smooth = _pull_push(planes[:, :, channel].astype(np.float32) * visible, visible)
        filled[:, :, channel] = np.where(hidden, np.clip(np.rint(smooth), 0, 255).astype(np.uint8), planes[:, :, channel])
    return filled[:, :, 0] if pixels.ndim == 2 else filled


def _pull_push(weighted: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns values without gaps, float32 [H, W], from values times weights and weights of 0 to 1."""
    height, width = weights.shape
    means: NDArray[np.float32] = np.zeros_like(weighted)
    np.divide(weighted, weights, out=means, where=weights > 0)
    if max(height, width) == 1:
        return means
    coarse = _pull_push(_halved(weighted), _halved(weights))
    doubled = Image.fromarray(coarse).resize((2 * coarse.shape[1], 2 * coarse.shape[0]), Image.Resampling.BILINEAR)
    behind = np.asarray(doubled, np.float32)[:height, :width]
    filled: NDArray[np.float32] = behind + weights * (means - behind)
    return filled


def _halved(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the means of 2x2 values, with zeros beyond the edges."""
    height, width = plane.shape
    padded = np.pad(plane, ((0, height % 2), (0, width % 2)))
    rows = padded[0::2] + padded[1::2]
    halved: NDArray[np.float32] = rows[:, 0::2] + rows[:, 1::2]
    halved *= 0.25
    return halved
