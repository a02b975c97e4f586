"""CPU seconds and peak memory by the size of a picture, and of regions against whole pictures; codes of blocks against those of one pass.

CPU seconds, not those of a clock, are counted in processes of their own, so that other work on the machine disturbs little.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.graphics.canvas import BLACK, WHITE, write_lines
from bench.photos import PHOTOS, photo
from bench.processes import measure_process
from vqcodec.format.container import GROUP_PX
from vqcodec.models.encoders import load_encoder
from vqcodec.models.model import load_model
from vqcodec.nn.autoencoder.blocks import encode_in_blocks, nearest_at
from vqcodec.nn.autoencoder.spans import BLOCK_PX
from vqcodec.nn.configs import PATCH_TOP
from vqcodec.rate.choice import RateDistortionChoice, place_weights

ASPECT: Final = 1.5
TILE_PX: Final = 400
"""Side of the crops of photos that a large picture is made of."""
PAGE_PX: Final = 1600, 1200
"""Sides of the pages of text and photos that a large screen is made of."""
REGION_PX: Final = 256
NUM_REGIONS: Final = 10

_REGIONS: Final = """
import json, sys, time
import numpy as np
import vqcodec
path, side, count, model = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
codec, data, rng, seconds = vqcodec.open_model(model), open(path, "rb").read(), np.random.default_rng(0), []
info = vqcodec.read_info(data)
codec.decode(data, region=(0, 0, side, side))
for _ in range(count):
    place = int(rng.integers(info.width - side)), int(rng.integers(info.height - side))
    started = time.process_time()
    codec.decode(data, region=(*place, side, side))
    seconds.append(time.process_time() - started)
print(json.dumps([sum(seconds) / count, max(seconds)]))
"""


def large_photo(width: int, height: int) -> NDArray[np.uint8]:
    """Returns a picture, uint8 [height, width, 3], of crops of photos, mirrored, turned, and of changing brightness."""
    rng = np.random.default_rng(0)
    photos = [np.asarray(photo(name).convert("RGB").resize((640, 480), Image.Resampling.LANCZOS)) for name in PHOTOS]
    picture = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, TILE_PX):
        for left in range(0, width, TILE_PX):
            source = photos[rng.integers(len(photos))]
            row, column = (int(rng.integers(side - TILE_PX + 1)) for side in source.shape[:2])
            crop = np.rot90(source[row : row + TILE_PX, column : column + TILE_PX], int(rng.integers(4)))
            crop = crop[:, :: int(rng.choice([-1, 1]))] * rng.uniform(0.8, 1.0) + rng.uniform(0, 20)
            target = picture[top : top + TILE_PX, left : left + TILE_PX]
            target[:] = crop[: target.shape[0], : target.shape[1]].astype(np.uint8)
    return picture


def large_screen(width: int, height: int) -> NDArray[np.uint8]:
    """Returns a picture, uint8 [height, width, 3], of pages of text, a quarter of which are photos of `large_photo`."""
    picture = np.empty((height, width, 3), np.uint8)
    for row, top in enumerate(range(0, height, PAGE_PX[1])):
        for column, left in enumerate(range(0, width, PAGE_PX[0])):
            target = picture[top : top + PAGE_PX[1], left : left + PAGE_PX[0]]
            if (row + 2 * column) % 4 == 1:
                target[:] = large_photo(target.shape[1], target.shape[0])
            else:
                page = write_lines(Image.new("RGB", PAGE_PX, WHITE), 16, BLACK, seed=1 + row + 100 * column)
                target[:] = np.asarray(page)[: target.shape[0], : target.shape[1]]
    return picture


def measure_large(megapixels: float, model: str, folder: Path, *, is_screen: bool = False) -> dict[str, Any]:
    """Measures a picture of a size: the command line on it, and `NUM_REGIONS` regions of 256x256 pixels in Python.

    Args:
        megapixels: its size.
        model: id of the model.
        folder: folder for the files.
        is_screen: whether it is one of text and photos (`large_screen`), in place of photos alone (`large_photo`).
    """
    height = round((megapixels * 1e6 / ASPECT) ** 0.5)
    width = round(ASPECT * height)
    source, coded, back = folder / "photo.ppm", folder / "photo.vq", folder / "back.png"
    Image.fromarray((large_screen if is_screen else large_photo)(width, height)).save(source)
    command, options = (sys.executable, "-m", "vqcodec"), ("--force", "--device", "cpu")
    encode = measure_process([*command, "encode", str(source), "-o", str(coded), "-m", model, *options])
    decode = measure_process([*command, "decode", str(coded), "-o", str(back), *options])
    regions = measure_process([sys.executable, "-c", _REGIONS, str(coded), str(REGION_PX), str(NUM_REGIONS), model])
    mean_s, worst_s = json.loads(regions.printed)
    return {
        "width": width,
        "height": height,
        "bytes": coded.stat().st_size,
        "encode_cpu_s": round(encode.cpu_seconds, 1),
        "encode_mib": round(encode.peak_mib),
        "decode_cpu_s": round(decode.cpu_seconds, 1),
        "decode_mib": round(decode.peak_mib),
        "region_cpu_s": round(mean_s, 2),
        "region_worst_cpu_s": round(worst_s, 2),
        "region_mib": round(regions.peak_mib),
    }


def count_other_codes(pixels: NDArray[np.uint8], model: str) -> dict[str, Any]:
    """Counts the codes that are others where a picture goes through the encoder in blocks and strips than where it goes in one pass.

    Codes are chosen as at quality 50, and as the nearest ones.

    Args:
        pixels: the picture, uint8 [H, W, 3], H and W multiples of 8, one of them above 2048, so that there are blocks.
        model: id of the model.
    """
    loaded, images = load_model(model, "cpu"), pixels[None]
    point = loaded.config.dial("iq").at(50)
    chosen = RateDistortionChoice(loaded.codings, point.rate_weight, None, place_weights(images), None)
    counts: dict[str, Any] = {"height": pixels.shape[0], "width": pixels.shape[1]}
    for name, choose_at in (("quality 50", chosen.within), ("nearest", nearest_at)):
        cut, whole = (
            encode_in_blocks(load_encoder(loaded), images, point.num_maps, choose_at=choose_at, block=block)
            for block in (BLOCK_PX, 2 * (max(images.shape) // GROUP_PX + 1) * GROUP_PX)
        )
        counts[name] = [[int((one.indices != other.indices).sum()), one.indices.size] for one, other in zip(cut, whole, strict=True)]
    return counts


def run_block_codes(megapixels: float, model: str) -> None:
    """Prints the count of a photo of a size as a line of JSON: for each map, how many codes are others, and of how many."""
    height = round((megapixels * 1e6 / ASPECT) ** 0.5) // PATCH_TOP * PATCH_TOP
    click.echo(json.dumps(count_other_codes(large_photo(round(ASPECT * height) // PATCH_TOP * PATCH_TOP, height), model)))


def run_large(megapixels: Sequence[float], model: str, *, is_screen: bool = False) -> None:
    """Measures pictures of some sizes, of text and photos or of photos alone, and prints a line of JSON for each."""
    with TemporaryDirectory() as folder:
        for size in megapixels:
            click.echo(json.dumps(measure_large(size, model, Path(folder), is_screen=is_screen)))
