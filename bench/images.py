"""Image sets of the benchmark: Kodak where it is at hand, any folder, or photos that ship in wheels."""

from pathlib import Path
from typing import Final

import skimage.data
from PIL import Image
from sklearn.datasets import load_sample_image

from vqcodec.bench.run import find_images

KODAK: Final = Path("../shared/eval/kodak")
_SKIMAGE: Final = ("astronaut", "chelsea", "coffee", "rocket")
_SKLEARN: Final = ("china", "flower")


def image_set(name: str, work: Path) -> list[Path]:
    """The images of a set.

    Args:
        name: "kodak"; "wheels", the photos of scikit-image and scikit-learn; or a folder.
        work: where the photos of wheels are written.

    Raises:
        VqcodecError: a folder that holds no picture.
    """
    if name != "wheels":
        return find_images(KODAK if name == "kodak" else Path(name))
    folder = work / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    for photo in _SKIMAGE:
        Image.fromarray(getattr(skimage.data, photo)()).save(folder / f"{photo}.png")
    for photo in _SKLEARN:
        Image.fromarray(load_sample_image(f"{photo}.jpg")).save(folder / f"{photo}.png")
    return find_images(folder)


def default_set() -> str:
    """Kodak, or the wheels' photos where it is absent."""
    return "kodak" if KODAK.is_dir() else "wheels"
