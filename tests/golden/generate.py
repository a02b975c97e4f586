"""Writes golden files that are not there yet: `python -m tests.golden.generate`. They are added to, never changed.

v4/small-golden/   a model folder: a small private model with priors, number 1001
v4/<name>.vq       a file
v4/<name>.npz      its index maps, `map_0` on, and the `pixels` that it decodes to
v4/<id>.vq, .npz   the same of a model that the package ships
v5/<name>.vq, .npz the same of files with sharpened priors
"""

import os
from pathlib import Path

import numpy as np
import skimage.data

from tests.conftest import make_model, make_small_network
from vqcodec.coding.tint import ColourLayer
from vqcodec.decoding.files import decode_file
from vqcodec.decoding.painting import paint
from vqcodec.encoding.pictures import encode_pictures
from vqcodec.encoding.writing import write_file
from vqcodec.format.container import CoderKind
from vqcodec.format.layers import NO_LAYERS, Layers
from vqcodec.images.layers import avif_within, exact_patches
from vqcodec.images.picture import Picture
from vqcodec.models.dial import OperatingPoint
from vqcodec.models.model import Model, load_model
from vqcodec.rate.options import LayerOptions

FOLDER = Path(__file__).parent / "v4"
SHARPENED_FOLDER = FOLDER.parent / "v5"
MODEL = FOLDER / "small-golden"
SHIPPED = ("photo-v5",)
RATE_WEIGHT = 0.25
CODES_ALONE = LayerOptions(layers=False)


def pictures() -> dict[str, tuple[Picture, int, CoderKind | None]]:
    """Returns picture, number of maps and coder of each golden file."""
    photo = skimage.data.chelsea()
    face = photo[40:140, 130:250]
    alpha = np.linspace(0, 255, face.shape[0] * face.shape[1]).astype(np.uint8).reshape(face.shape[:2])
    return {
        "rgb-raw": (Picture(face), 4, CoderKind.RAW),
        "rgb-static": (Picture(face), 4, CoderKind.STATIC),
        "rgb-prior": (Picture(face), 4, CoderKind.PRIOR),
        "rgba-prior": (Picture(face, alpha), 3, CoderKind.PRIOR),
        "grey-top": (Picture(face[:, :, 1]), 1, CoderKind.PRIOR),
        "grey-alpha-profile": (Picture(face[:9, :33, 0], alpha[:9, :33], b"not a real profile"), 2, None),
        "one-pixel": (Picture(face[:1, :1]), 4, CoderKind.PRIOR),
        "tiles": (Picture(photo), 2, CoderKind.PRIOR),
        "tile-groups-2x2": (Picture(np.tile(photo, (2, 2, 1))[:520, :530]), 1, CoderKind.PRIOR),
        "group-sums": (Picture(np.tile(photo[:128, :, 1], (1, 19))[:, :8300]), 1, CoderKind.PRIOR),
        "tile-groups": (Picture(np.hstack([photo, photo[:, ::-1]])), 1, CoderKind.PRIOR),
    }


def layers() -> dict[str, tuple[Picture, Layers]]:
    """Returns picture and layers of each golden file that has some."""
    face = skimage.data.chelsea()[40:140, 130:250]
    mask = np.zeros(face.shape[:2], bool)
    mask[10:30, 16:96] = mask[50:60, 100:] = True
    patches = exact_patches(face, mask)
    avif = avif_within(face, 2000)
    offsets = np.arange(4 * 4 * 3).reshape(4, 4, 3) % 7 - 3
    tint = ColourLayer(5, 3, offsets).body
    return {
        "colour-layer": (Picture(face), Layers(tint=tint)),
        "colour-layer-exact-patch": (Picture(face), Layers(patches, tint=tint)),
        "exact-patch": (Picture(face), Layers(patches)),
        "exact-all": (Picture(face), Layers(exact_patches(face, np.ones_like(mask)))),
        "avif": (Picture(face), Layers(avif=avif)),
        "avif-exact-patch": (Picture(face), Layers(patches, avif)),
    }


def covered() -> dict[str, Picture]:
    """Returns the picture of each golden file in which all pixels are exact and no code takes a bit."""
    photo = skimage.data.chelsea()
    flat = np.full((33, 70), 90, np.uint8)
    flat[4:9, 5:60:3] = 0
    alpha = np.where(np.arange(70) < 60, 255, 0).astype(np.uint8)[None].repeat(33, axis=0)
    return {"exact-grey-alpha": Picture(flat, alpha), "exact-no-codes": Picture(photo[40:90, 130:190])}


def sharpened() -> dict[str, tuple[Picture, tuple[int, ...]]]:
    """Returns picture and sharpness of the prior of each map of each golden file that has sharpened priors."""
    photo = skimage.data.chelsea()
    wide = np.tile(photo[:16, :, 1], (1, 19))[:, :8200]
    return {
        "sharpened": (Picture(photo[40:140, 130:250]), (16, 23, 255, 1)),
        "sharpened-tile-groups": (Picture(np.hstack([photo, photo[:, ::-1]])), (20, 24)),
        "sharpened-group-sums": (Picture(wide), (24,)),
    }


def main() -> None:
    """Writes what is missing."""
    FOLDER.mkdir(exist_ok=True)
    SHARPENED_FOLDER.mkdir(exist_ok=True)
    os.environ["VQCODEC_MODELS"] = str(FOLDER)
    if not MODEL.exists():
        make_model(MODEL, make_small_network(skimage.data.chelsea()), number=1001)
    model = load_model(MODEL, device="cpu")
    for name, (picture, num_maps, coder) in pictures().items():
        write(name, picture, model, OperatingPoint(num_maps, 0.0), coder)
    for name, (picture, own_layers) in layers().items():
        write(name, picture, model, OperatingPoint(2, 0.0), None, own_layers)
    for name, picture in covered().items():
        write(name, picture, model, OperatingPoint(1, 0.0), None, options=LayerOptions("all"))
    for name, (picture, sharpness) in sharpened().items():
        write(name, picture, model, OperatingPoint(len(sharpness), 0.0), CoderKind.PRIOR, sharpness=sharpness)
    for name in SHIPPED:
        write(name, Picture(skimage.data.chelsea()), load_model(name, device="cpu"), OperatingPoint(4, RATE_WEIGHT), None)


def write(
    name: str,
    picture: Picture,
    model: Model,
    point: OperatingPoint,
    coder: CoderKind | None,
    layers: Layers = NO_LAYERS,
    options: LayerOptions = CODES_ALONE,
    sharpness: tuple[int, ...] = (),
) -> None:
    """Writes a file and what it decodes to, unless it is there; layers stand above codes that were chosen without them."""
    path = (SHARPENED_FOLDER if sharpness else FOLDER) / f"{name}.vq"
    if not path.exists():
        (encoded,) = encode_pictures([picture], model, point=point, coder=coder, options=options)
        is_new = layers != NO_LAYERS or sharpness
        data = write_file(picture, encoded.indices, model, coder, layers=layers, sharpness=sharpness) if is_new else encoded.data
        path.write_bytes(data)
        (painted,) = paint([decode_file(data, device="cpu")])
        maps = {f"map_{number}": indices.astype(np.uint16) for number, indices in enumerate(encoded.indices)}
        np.savez_compressed(path.with_suffix(".npz"), allow_pickle=False, **maps, pixels=painted.pixels)


if __name__ == "__main__":
    main()
