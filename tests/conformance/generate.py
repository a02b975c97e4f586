"""Makes the conformance set anew, from photos that ship in wheels: `python -m tests.conformance.generate`. README.md says what is in it."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.photos import photo
from tests.reject_cases import CASES, Samples
from vqcodec.coding.tint import ColourLayer
from vqcodec.decoding.files import decode_codes, open_file
from vqcodec.decoding.painting import paint
from vqcodec.encoding.pictures import encode_pictures
from vqcodec.encoding.writing import write_file
from vqcodec.format.container import CoderKind, read_container
from vqcodec.format.layers import NO_LAYERS, Layers
from vqcodec.images.colour import ADOBE_RGB, profile_of
from vqcodec.images.layers import avif_within, exact_patches
from vqcodec.images.picture import Picture
from vqcodec.models.dial import OperatingPoint
from vqcodec.models.model import Model, load_model
from vqcodec.models.registry import DEFAULT_MODEL
from vqcodec.rate.options import LayerOptions

ROOT: Final = Path(__file__).parent
REFUSED: Final = "refused"
PAINTED_ERROR, EXACT_ERROR = 2, 0
"""Levels by which samples may differ: of what networks paint or AVIF says, and of what is exact."""
RATE_WEIGHT: Final = 0.05


@dataclass(frozen=True)
class Case:
    """What a file is made of.

    Attributes:
        picture: the picture that is encoded.
        num_maps: number of its maps.
        coder: coder of all maps, or None for the smallest of each.
        layers: layers above the codes.
        peak_error: levels by which a decoder may differ.
        sharpness: that of the prior of each map.
    """

    picture: Picture
    num_maps: int = 2
    coder: CoderKind | None = None
    layers: Layers = NO_LAYERS
    peak_error: int = PAINTED_ERROR
    sharpness: tuple[int, ...] = ()


def crop(name: str, left: int, top: int, width: int, height: int) -> NDArray[np.uint8]:
    """Returns a part of a photo, uint8 [height, width, 3]."""
    return np.asarray(photo(name).crop((left, top, left + width, top + height)))


def cases() -> dict[str, Case]:
    """Returns every file that must decode."""
    face, shore, flower = crop("astronaut", 180, 60, 96, 64), crop("china", 200, 150, 80, 64), crop("flower", 260, 120, 72, 64)
    alpha = (np.add.outer(np.arange(64) * 3, np.arange(72)) % 256).astype(np.uint8)
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = "A photo of the conformance set", "vqcodec"
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'
    mask = np.zeros(shore.shape[:2], bool)
    mask[4:20, 8:60] = mask[40:44:2, 10:] = True
    patches = exact_patches(shore, mask)
    tint = ColourLayer(4, 4, np.arange(4 * 5 * 3).reshape(4, 5, 3) % 9 - 4).body
    avif = avif_within(shore, 1500)
    profile = profile_of(ADOBE_RGB, is_grey=False)
    one = {f"maps-{number}": Case(Picture(face), number) for number in (1, 2, 3, 4)}
    coders = {f"coder-{kind.name.lower()}": Case(Picture(flower), 2, kind) for kind in CoderKind}
    sizes = {f"size-{w}x{h}": Case(Picture(crop("coffee", 150, 100, w, h)), 4) for w, h in ((1, 1), (67, 45), (1, 100), (9, 8))}
    return {
        **one,
        **coders,
        **sizes,
        "sharpened-prior": Case(Picture(flower), 4, CoderKind.PRIOR, sharpness=(12, 24, 19, 16)),
        "tile-groups": Case(Picture(crop("china", 0, 200, 530, 20)), 2, CoderKind.PRIOR),
        "grey": Case(Picture(face[:, :, 1])),
        "alpha": Case(Picture(flower, alpha)),
        "grey-alpha": Case(Picture(flower[:, :, 1], alpha), 1),
        "icc-profile": Case(Picture(flower, None, profile)),
        "exif-xmp": Case(Picture(flower, None, None, exif.tobytes().removeprefix(b"Exif\0\0"), xmp)),
        "exact-patches": Case(Picture(shore), layers=Layers(patches)),
        "exact-everything": Case(Picture(shore), 1, layers=Layers(exact_patches(shore, np.ones_like(mask))), peak_error=EXACT_ERROR),
        "avif": Case(Picture(shore), 1, layers=Layers(avif=avif)),
        "avif-exact-patches": Case(Picture(shore), 1, layers=Layers(patches, avif)),
        "colour-layer": Case(Picture(shore), layers=Layers(tint=tint)),
        "colour-layer-exact-patches": Case(Picture(shore), layers=Layers(patches, tint=tint)),
    }


def cut_files(whole: bytes) -> dict[str, tuple[bytes, int]]:
    """Returns files that end early, and how many of their maps are complete."""
    container = read_container(whole)
    ends = np.cumsum([len(whole) - container.header.payload_bytes, *(entry.num_bytes for entry in container.header.maps)])
    return {"cut-after-one-map": (whole[: ends[1]], 1), "cut-within-the-last": (whole[: ends[4] - 5], 3)}


def main() -> None:
    """Writes all files anew."""
    model = load_model(DEFAULT_MODEL, device="cpu")
    for folder in ROOT.iterdir():
        if (folder / "expected.json").exists():
            shutil.rmtree(folder)
    for name, case in cases().items():
        data, maps = encoded(case, model)
        write_case(name, data, maps, case.peak_error)
        if name == "maps-4":
            for cut, (part, number) in cut_files(data).items():
                write_case(cut, part, maps[:number], case.peak_error, is_cut=True)
    write_refused(model)


def encoded(case: Case, model: Model) -> tuple[bytes, list[NDArray[np.int64]]]:
    """Returns the file of a case and the maps in it."""
    point, options = OperatingPoint(case.num_maps, RATE_WEIGHT), LayerOptions(layers=False)
    (file,) = encode_pictures([case.picture], model, point=point, coder=case.coder, options=options)
    if case.layers == NO_LAYERS and not case.sharpness:
        return file.data, file.indices
    return write_file(case.picture, file.indices, model, case.coder, layers=case.layers, sharpness=case.sharpness), file.indices


def write_case(name: str, data: bytes, maps: Sequence[NDArray[np.int64]], peak_error: int, *, is_cut: bool = False) -> None:
    """Writes a file, its codes, its picture and what is expected of a decoder."""
    folder = ROOT / name
    folder.mkdir()
    (picture,) = paint(decode_codes([open_file(data, device="cpu", allow_truncated=is_cut)]))
    if picture.alpha is None:
        image = Image.fromarray(picture.pixels)
    else:
        image = Image.merge("LA" if picture.pixels.ndim == 2 else "RGBA", [Image.fromarray(plane) for plane in planes(picture)])
    image.save(folder / "picture.png", optimize=True)
    (folder / "file.vq").write_bytes(data)
    (folder / "codes.bin").write_bytes(b"".join(map(code_bytes, maps)))
    expected: dict[str, Any] = {
        "width": image.width,
        "height": image.height,
        "mode": image.mode,
        "is_cut": is_cut,
        "peak_error": peak_error,
        "maps": [
            {"rows": len(indices), "columns": len(indices[0]), "sha256": hashlib.sha256(code_bytes(indices)).hexdigest()}
            for indices in maps
        ],
        "metadata": {
            kind: None if value is None else hashlib.sha256(value).hexdigest()
            for kind, value in (("icc_profile", picture.icc_profile), ("exif", picture.exif), ("xmp", picture.xmp))
        },
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def planes(picture: Picture) -> list[NDArray[np.uint8]]:
    """Returns the planes of a picture with alpha, each uint8 [H, W]."""
    stacked = np.dstack([picture.pixels, picture.alpha])
    return [np.ascontiguousarray(stacked[:, :, number]) for number in range(stacked.shape[2])]


def code_bytes(indices: NDArray[np.int64]) -> bytes:
    """Returns a map's codes row by row, each as a little-endian integer of 2 bytes."""
    return np.ascontiguousarray(indices, "<u2").tobytes()


def write_refused(model: Model) -> None:
    """Writes a file for each reject case that the model can have, and names the errors."""
    folder = ROOT / REFUSED
    folder.mkdir()
    samples = Samples(model)
    for name, (_, make) in CASES.items():
        (folder / f"{name}.vq").write_bytes(make(samples))
    (folder / "expected.json").write_text(json.dumps({name: error for name, (error, _) in CASES.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
