"""HDR pixels, of PQ or HLG, brought to sRGB for a screen whose white is 203 cd/m2, by the curve of ITU-R BT.2390."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.images.colour import Colours, adaptation, rgb_to_xyz, srgb_of_light

WHITE_NITS: Final = 203.0
"""Light of white in HDR pictures (ITU-R BT.2408), which becomes the white of sRGB."""
_HLG_PEAK_NITS: Final = 1000.0
_PQ_M1, _PQ_M2 = 2610 / 16384, 2523 / 4096 * 128
_PQ_C1, _PQ_C2, _PQ_C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073
_ROWS: Final = 256
"""Rows that are computed at a time."""


def tone_map(pixels: NDArray[np.uint8], colours: Colours) -> NDArray[np.uint8]:
    """Returns HDR pixels, uint8 [H, W] grey or [H, W, 3] RGB, as pixels of sRGB of the same shape.

    Light up to a knee keeps its place; above it is pressed together, so that the brightest pixel becomes white (BT.2390, section 5.4).
    The largest of the three channels decides, and the others follow in proportion, so that hues stay. Colours outside of sRGB are clipped.

    Raises:
        ValueError: The primaries make no sense.
    """
    assert colours.is_hdr
    peak = _HLG_PEAK_NITS if colours.transfer == "hlg" else float(pq_to_nits(np.array(pixels.max() / 255)))
    target = Colours()
    matrix = np.linalg.inv(rgb_to_xyz(target)) @ rgb_to_xyz(colours)
    if colours.white != target.white:
        white = rgb_to_xyz(target).sum(axis=1)
        matrix = np.linalg.inv(rgb_to_xyz(target)) @ adaptation(colours.white, (white[0], white[1], white[2])) @ rgb_to_xyz(colours)
    luminance = rgb_to_xyz(colours)[1]
    out = np.empty_like(pixels)
    for start in range(0, len(pixels), _ROWS):
        rows = pixels[start : start + _ROWS]
        samples = (np.repeat(rows[:, :, None], 3, axis=2) if rows.ndim == 2 else rows) / 255
        nits = pq_to_nits(samples) if colours.transfer == "pq" else _hlg_to_nits(samples, luminance)
        brightest = nits.max(axis=2, keepdims=True)
        light = nits * (_pressed(brightest, peak) / np.maximum(brightest, 1e-6)) / WHITE_NITS
        mapped = srgb_of_light(light @ matrix.T)
        out[start : start + _ROWS] = mapped[:, :, 1] if rows.ndim == 2 else mapped
    return out


def pq_to_nits(samples: NDArray[np.floating]) -> NDArray[np.floating]:
    """Returns the light in cd/m2 of PQ samples in 0..1 (ITU-R BT.2100)."""
    power = samples ** (1 / _PQ_M2)
    nits: NDArray[np.floating] = 10000 * (np.maximum(power - _PQ_C1, 0) / (_PQ_C2 - _PQ_C3 * power)) ** (1 / _PQ_M1)
    return nits


def nits_to_pq(nits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Returns the PQ samples of light in cd/m2."""
    power = (np.maximum(nits, 0) / 10000) ** _PQ_M1
    samples: NDArray[np.floating] = ((_PQ_C1 + _PQ_C2 * power) / (1 + _PQ_C3 * power)) ** _PQ_M2
    return samples


def _hlg_to_nits(samples: NDArray[np.floating], luminance: NDArray[np.floating]) -> NDArray[np.floating]:
    """Returns the light of HLG samples on a screen of 1000 cd/m2, whose system gamma is 1.2 (ITU-R BT.2100)."""
    scene = np.where(samples <= 0.5, samples**2 / 3, (np.exp((samples - _HLG_C) / _HLG_A) + _HLG_B) / 12)
    nits: NDArray[np.floating] = _HLG_PEAK_NITS * np.maximum(scene @ luminance, 0)[:, :, None] ** 0.2 * scene
    return nits


def _pressed(nits: NDArray[np.floating], peak: float) -> NDArray[np.floating]:
    """Returns light of up to `peak` in place of which there is light of up to `WHITE_NITS`."""
    if peak <= WHITE_NITS:
        return nits
    full = float(nits_to_pq(np.array(peak)))
    limit = float(nits_to_pq(np.array(WHITE_NITS))) / full
    knee = 1.5 * limit - 0.5
    samples = nits_to_pq(nits) / full
    t = np.clip((samples - knee) / (1 - knee), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * limit
    return np.where(samples < knee, nits, pq_to_nits(np.minimum(spline, limit) * full))
