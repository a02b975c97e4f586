"""Writes golden files that are not there yet: `python -m tests.golden.generate`. They are added to, never changed.

v2/small-golden/   a model folder: a small private model with priors, number 1001
v2/<name>.vq       a file
v2/<name>.npz      its index maps, `map_0` on, and the `pixels` that it decodes to
"""

import os
from pathlib import Path

import numpy as np
import skimage.data

from tests.conftest import make_model, make_small_network
from vqcodec.codec import decode_file, encode_pictures, open_model, paint
from vqcodec.container import CoderKind
from vqcodec.image import Picture

FOLDER = Path(__file__).parent / "v2"
MODEL = FOLDER / "small-golden"


def pictures() -> dict[str, tuple[Picture, int, CoderKind | None]]:
    """Picture, quality and coder of each golden file."""
    photo = skimage.data.chelsea()
    face = photo[40:140, 130:250]
    alpha = np.linspace(0, 255, face.shape[0] * face.shape[1]).astype(np.uint8).reshape(face.shape[:2])
    return {
        "rgb-raw": (Picture(face), 100, CoderKind.RAW),
        "rgb-static": (Picture(face), 100, CoderKind.STATIC),
        "rgb-prior": (Picture(face), 100, CoderKind.PRIOR),
        "rgba-prior": (Picture(face, alpha), 75, CoderKind.PRIOR),
        "grey-top": (Picture(face[:, :, 1]), 25, CoderKind.PRIOR),
        "grey-alpha-profile": (Picture(face[:9, :33, 0], alpha[:9, :33], b"not a real profile"), 50, None),
        "one-pixel": (Picture(face[:1, :1]), 100, CoderKind.PRIOR),
        "tiles": (Picture(photo), 50, CoderKind.PRIOR),
        "tile-groups-2x2": (Picture(np.tile(photo, (2, 2, 1))[:520, :530]), 25, CoderKind.PRIOR),
        "tile-groups": (Picture(np.hstack([photo, photo[:, ::-1]])), 25, CoderKind.PRIOR),
    }


def main() -> None:
    """Writes what is missing."""
    FOLDER.mkdir(exist_ok=True)
    os.environ["VQCODEC_MODELS"] = str(FOLDER)
    if not MODEL.exists():
        make_model(MODEL, make_small_network(skimage.data.chelsea()), number=1001)
    model = open_model(MODEL, device="cpu")
    for name, (picture, quality, coder) in pictures().items():
        path = FOLDER / f"{name}.vq"
        if not path.exists():
            (encoded,) = encode_pictures([picture], model, quality=quality, coder=coder)
            path.write_bytes(encoded.data)
            (painted,) = paint([decode_file(encoded.data, device="cpu")])
            maps = {f"map_{number}": level.astype(np.uint16) for number, level in enumerate(encoded.indices)}
            np.savez_compressed(path.with_suffix(".npz"), allow_pickle=False, **maps, pixels=painted.pixels)


if __name__ == "__main__":
    main()
