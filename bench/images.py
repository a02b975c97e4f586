"""Image sets that are measured (Kodak, any folder, photos that ship in wheels, or drawings), and the files of results."""

import json
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from bench.graphics import GRAPHICS
from bench.graphics.canvas import Drawing
from bench.photos import PHOTOS, photo
from vqcodec.compare.run import find_images
from vqcodec.models.config import ModelConfig

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "bench/results"
MODELS: Final = ROOT / "models"
KODAK: Final = Path("../shared/eval/kodak")
_MADE: Final[dict[str, dict[str, Drawing]]] = {"wheels": {name: partial(photo, name) for name in PHOTOS}, "graphics": GRAPHICS}
"""What makes each picture of the sets that lie in no folder, by the names of sets and pictures."""


def image_set(name: str, work: Path) -> list[Path]:
    """Returns the images of a set.

    Args:
        name: "kodak"; "wheels" for the photos of scikit-image and scikit-learn; "graphics" for the drawings of `bench.graphics`; or a
            folder.
        work: folder that the pictures of wheels and the drawings are written to.

    Raises:
        VqcodecError: the folder holds no picture.
    """
    if name not in _MADE:
        return find_images(KODAK if name == "kodak" else Path(name))
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    for stem, make in _MADE[name].items():
        make().save(folder / f"{stem}.png")
    return find_images(folder)


@contextmanager
def opened_set(name: str) -> Iterator[list[Path]]:
    """Yields the images of a set, which are there as long as it is open."""
    with tempfile.TemporaryDirectory() as work:
        yield image_set(name, Path(work))


def set_label(name: str) -> str:
    """Returns the name of a set in the names of result files; folders of the same name are told apart by where they are."""
    if name == "kodak" or name in _MADE:
        return name
    folder = Path(name).resolve()
    return f"{folder.name}-{zlib.crc32(str(folder).encode()):08x}"


def result_path(kind: str, model_id: str, set_name: str) -> Path:
    """Returns the result file of a model on a set of images; Kodak has no part in the name, nor has a set that gives the kind its name."""
    label = "" if set_name in ("kodak", kind) else f"-{set_label(set_name)}"
    return RESULTS / f"{kind}-{model_id}{label}.json"


def write_result(kind: str, config: ModelConfig, set_name: str, values: dict[str, Any]) -> None:
    """Writes what was measured of a model, with its weights' digest and today's date, and prints where."""
    result = {"model": config.id, "weights_sha256": config.weights_sha256, "date": datetime.now(UTC).date().isoformat(), **values}
    target = result_path(kind, config.id, set_name)
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    click.echo(f"written to {target}")


def read_json(path: Path) -> Any:
    """Returns what a result file holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def default_set() -> str:
    """Returns "kodak", or "wheels" where the Kodak photos are absent."""
    return "kodak" if KODAK.is_dir() else "wheels"
