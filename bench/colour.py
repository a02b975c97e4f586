"""Whether large areas keep their colour: errors of the mean colour of 64x64 blocks, of vqcodec and of AVIF at equal bytes.

An error of a whole block shows as a change of colour, although it counts little in measures of single pixels.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, Final

import click
import numpy as np
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, rgb2lab

from bench.images import opened_set, write_result
from vqcodec.cli.progress import progress
from vqcodec.compare.codecs import ImageCodec, Pixels
from vqcodec.compare.selection import codec_named
from vqcodec.decoding.files import decode_file
from vqcodec.decoding.painting import paint
from vqcodec.encoding.pictures import encode_pictures
from vqcodec.images.metrics import psnr_db
from vqcodec.images.picture import Picture, read_picture
from vqcodec.models.dial import OperatingPoint
from vqcodec.models.model import Model, load_model

BLOCK_PX: Final = 64
"""Side of a block in pixels."""

FLAT_LEVELS: Final = 10.0
"""Standard deviation of grey in 8-bit levels below which a block is flat."""

QUALITIES: Final = (5, 10, 30, 50, 70, 90)
_GREY: Final = (0.299, 0.587, 0.114)
_AVIF_BEST: Final = 100
_BATCH: Final = 4


def block_pixels(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Returns the pixels [blocks, 4096, 3] of the whole 64x64 blocks of a picture [H, W, 3], in a grid from its upper left corner."""
    rows, columns = pixels.shape[0] // BLOCK_PX, pixels.shape[1] // BLOCK_PX
    whole = pixels[: rows * BLOCK_PX, : columns * BLOCK_PX].astype(np.float64)
    blocks = whole.reshape(rows, BLOCK_PX, columns, BLOCK_PX, 3).swapaxes(1, 2)
    return blocks.reshape(rows * columns, BLOCK_PX**2, 3)


def colour_errors(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> tuple[list[float], float]:
    """Measures the mean colours of blocks against the original, both uint8 [H, W, 3].

    A mean colour is that of the sRGB samples. A block is flat where the standard deviation of grey, 0.299 R + 0.587 G + 0.114 B, is below
    10 levels in the original.

    Returns:
        The colour differences (CIEDE2000) of the mean colours of flat blocks; and the largest error of the mean of a channel of any
        block, in levels, 0 where the picture has no whole block.
    """
    before, after = block_pixels(original), block_pixels(decoded)
    flat = (before @ _GREY).std(axis=1) < FLAT_LEVELS
    means = before.mean(axis=1), after.mean(axis=1)
    labs = [rgb2lab(mean[flat][None] / 255) for mean in means] if flat.any() else [np.empty((1, 0, 3))] * 2
    differences: NDArray[np.float64] = deltaE_ciede2000(*labs)[0]  # type: ignore[no-untyped-call]
    return differences.tolist(), float(np.abs(means[0] - means[1]).max(initial=0))


def nearest_in_size(encode: Callable[[int], bytes], num_bytes: int, best: int = _AVIF_BEST) -> bytes:
    """Returns the file nearest in size to `num_bytes`, of settings 0 to `best` whose files grow; of two as near, the smaller one."""
    low, high = 0, best
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if len(encode(middle)) < num_bytes else (low, middle)
    files = [encode(setting) for setting in (max(low - 1, 0), low)]
    return min(files, key=lambda file: abs(len(file) - num_bytes))


def run_colour(set_name: str, model_id: str) -> None:
    """Measures the colours of blocks at some qualities; writes bench/results/colour-MODEL.json."""
    model = load_model(model_id)
    codec = codec_named("avif")
    with opened_set(set_name) as images:
        rows = measure_colours([read_picture(path) for path in images], model, codec)
    summary = [_summary(rows, quality, name) for quality in QUALITIES for name in ("vqcodec", "avif", "nearest")]
    for of in summary:
        flat = "no flat block" if of["flat_delta_e"] is None else f"delta E {of['flat_delta_e']:.2f} of {of['flat_blocks']} flat blocks"
        click.echo(f"quality {of['quality']}, {of['codec']}: {of['mean_bytes']:.0f} bytes, {flat}, worst block {of['worst_levels']:.1f}")
    write_result("colour", model.config, set_name, {"avif": codec.version(), "summary": summary})


def measure_colours(pictures: Sequence[Picture], model: Model, codec: ImageCodec) -> list[dict[str, Any]]:
    """Returns a row for each picture, quality and codec; the other codec's files have about the bytes of vqcodec's."""
    rows, nearest = [], dict[int, list[dict[str, Any]]]()
    encode = [cache(partial(codec.encode, picture.rgb)) for picture in pictures]
    with progress(len(QUALITIES), "qualities") as bar:
        for quality in QUALITIES:
            point = model.config.dial("iq").at(quality)
            ours = _vqcodec(pictures, model, point)
            if point.num_maps not in nearest:
                nearest[point.num_maps] = _vqcodec(pictures, model, OperatingPoint(point.num_maps, 0.0))
            files = [nearest_in_size(encode_one, own["bytes"]) for encode_one, own in zip(encode, ours, strict=True)]
            others = [_measured(picture.rgb, len(file), codec.decode(file)) for picture, file in zip(pictures, files, strict=True)]
            for name, measured in {"vqcodec": ours, "avif": others, "nearest": nearest[point.num_maps]}.items():
                rows += [{"quality": quality, "codec": name, **of} for of in measured]
            bar.update()
    return rows


def _vqcodec(pictures: Sequence[Picture], model: Model, point: OperatingPoint) -> list[dict[str, Any]]:
    encoded = encode_pictures(pictures, model, point=point, batch_size=_BATCH)
    painted = paint([decode_file(file.data) for file in encoded], batch_size=_BATCH)
    return [_measured(picture.rgb, len(file.data), own.rgb) for picture, file, own in zip(pictures, encoded, painted, strict=True)]


def _measured(original: Pixels, num_bytes: int, decoded: Pixels) -> dict[str, Any]:
    flat, worst = colour_errors(original, decoded)
    return {"bytes": num_bytes, "flat": flat, "worst": worst, "psnr_db": psnr_db(original, decoded)}


def _summary(rows: Sequence[dict[str, Any]], quality: int, codec: str) -> dict[str, Any]:
    """Returns what all photos give together; each flat block counts as much as any other."""
    own = [row for row in rows if row["quality"] == quality and row["codec"] == codec]
    flat = [difference for row in own for difference in row["flat"]]
    return {
        "quality": quality,
        "codec": codec,
        "mean_bytes": round(float(np.mean([row["bytes"] for row in own])), 1),
        "psnr_db": round(float(np.mean([row["psnr_db"] for row in own])), 3),
        "flat_blocks": len(flat),
        "flat_delta_e": round(float(np.mean(flat)), 3) if flat else None,
        "worst_levels": round(max(row["worst"] for row in own), 2),
    }
