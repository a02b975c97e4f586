"""The targets of fuzzing: seeds, how they are mutated, and what is run on them. Inputs are the bytes of files."""

import json
import os
import struct
import tempfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageCms

import vqcodec
from tests.fuzz.config_mutations import RANGES, mutated_config
from tests.fuzz.files import MOST_PIXELS, assemble, mend, mend_png, with_index_crcs
from tests.fuzz.mutations import cut, mutated_header, mutated_layers, mutated_metadata, mutated_payload, scramble
from tests.fuzz.weights import encode_and_decode, load_weights, mutated_weights
from tests.golden.generate import FOLDER, MODEL
from vqcodec.coding.groups import GroupGrid
from vqcodec.coding.maps import index_crc, place_streams
from vqcodec.coding.tint import ColourLayer
from vqcodec.encoding.pictures import encode_pictures
from vqcodec.encoding.writing import write_file
from vqcodec.errors import FormatError, TruncatedError
from vqcodec.format.chunks import Chunk
from vqcodec.format.container import FORMAT_VERSION, MAGIC, CoderKind, Container, crc16, read_container
from vqcodec.format.groups import SUMS_CHUNK
from vqcodec.format.layers import Layers
from vqcodec.images.layers import avif_within, exact_patches
from vqcodec.images.picture import Picture
from vqcodec.models.config import CONFIG_NAME, WEIGHTS_NAME
from vqcodec.models.dial import OperatingPoint
from vqcodec.models.model import Model, load_model
from vqcodec.models.registry import MODELS_VARIABLE
from vqcodec.rate.options import LayerOptions

CORPUS: Final = Path(__file__).parent / "corpus"

Mutation = Callable[[np.random.Generator, bytes], bytes]
ContainerMutation = Callable[[np.random.Generator, Container], Container]


@dataclass(frozen=True)
class Target:
    """A part of the package that is fuzzed.

    Attributes:
        share: share of the inputs of a run that are for it.
        seeds: intact files to begin from.
        mutate: function that makes a file from another one.
        run: function that reads an input; it returns, or raises a `VqcodecError`.
    """

    share: int
    seeds: Callable[[], list[bytes]]
    mutate: Mutation
    run: Callable[[bytes], object]


def use_golden_model() -> None:
    """Makes the small golden model known to the process."""
    os.environ[MODELS_VARIABLE] = str(FOLDER)


@cache
def _model() -> Model:
    return load_model(MODEL, device="cpu")


def decode_whole(data: bytes) -> None:
    """Decodes a file."""
    vqcodec.decode(data, device="cpu")


def decode(data: bytes) -> None:
    """Decodes a file, and if it is cut, as much of it as there is."""
    try:
        decode_whole(data)
    except TruncatedError:
        vqcodec.decode(data, device="cpu", allow_truncated=True)


def describe_and_decode(data: bytes) -> None:
    """Describes a file and decodes it; what cannot be described must not decode.

    Raises:
        AssertionError: It does.
    """
    try:
        vqcodec.read_info(data)
    except vqcodec.VqcodecError as error:
        decode(data)
        if not isinstance(error, TruncatedError):
            raise AssertionError(f"decodes, but cannot be described: {error}") from error
    else:
        decode(data)


def read_parts(data: bytes) -> None:
    """Reads parts of a file. What is read must be what `decode` gives, and what is refused must be refused as a whole, too.

    Raises:
        AssertionError: It is not.
    """
    try:
        part, region = _parts(data)
    except vqcodec.VqcodecError as error:
        decode_whole(data)
        raise AssertionError(f"decodes, but not in parts: {error}") from error
    shown = vqcodec.decode(data, device="cpu", region=region)
    if np.abs(part - np.asarray(shown)).max() > 1:
        raise AssertionError(f"region {region} differs")


def _parts(data: bytes) -> tuple[NDArray[np.int64], tuple[int, int, int, int]]:
    """Reads the smallest level, a thumbnail, a sketch and a part at full size, and returns its pixels and its place."""
    with vqcodec.open(BytesIO(data), device="cpu") as reader:
        width, height = reader.size
        left, top = width // 3, height // 3
        size = min(40, width - left), min(24, height - top)
        part = np.asarray(reader.read_region((left, top), 0, size)).astype(np.int64)
        reader.read_region((0, 0), reader.level_count - 1, (1, 1))
        if width * height <= MOST_PIXELS:
            reader.thumbnail((16, 16))
            reader.sketch(8)
    return part, (left, top, *size)


def encode(data: bytes) -> None:
    """Encodes a picture file by the top map alone, and decodes what comes of it, which must never fail."""
    file = vqcodec.encode(BytesIO(data), model="small-golden", device="cpu", num_maps=1, layers=False)
    try:
        vqcodec.decode(file, device="cpu")
    except vqcodec.VqcodecError as error:
        raise AssertionError(f"what was encoded does not decode: {error}") from error


def load_config(data: bytes) -> None:
    """Loads the small golden model by another config, decodes a file, and encodes a picture.

    Raises:
        AssertionError: What was encoded does not decode.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / WEIGHTS_NAME).symlink_to(MODEL / WEIGHTS_NAME)
        (Path(folder) / CONFIG_NAME).write_bytes(data)
        codec = vqcodec.open_model(folder, device="cpu")
        codec.decode(plain_files()[0])
        encode_and_decode(codec)


def _face(width: int, height: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(skimage.data.chelsea()[60 : 60 + height, 150 : 150 + width])


def _file(picture: Picture, num_maps: int = 2, coder: CoderKind | None = None, layers: Layers | None = None) -> bytes:
    point = OperatingPoint(num_maps, 0.0)
    (encoded,) = encode_pictures([picture], _model(), point=point, coder=coder, options=LayerOptions(layers=False))
    return encoded.data if layers is None else write_file(picture, encoded.indices, _model(), coder, layers=layers)


@cache
def plain_files() -> list[bytes]:
    """Returns files of every coder, sharpened priors among them, of one to four maps, and one whose map takes no bytes."""
    files = [_file(Picture(_face(26, 17)), number, kind) for number, kind in ((1, CoderKind.RAW), (2, CoderKind.STATIC), (4, None))]
    grey = _face(600, 8)[:, :, 1]
    long = Picture(grey[:, np.arange(600) % grey.shape[1]])
    empty = write_file(Picture(_face(9, 33)), [np.zeros((5, 2), np.int64)], _model())
    (chosen,) = encode_pictures([Picture(_face(33, 20))], _model(), point=OperatingPoint(3, 4.0), options=LayerOptions(layers=False))
    sharpened = write_file(Picture(_face(33, 20)), chosen.indices, _model(), CoderKind.PRIOR, sharpness=(16, 24, 9))
    return [*files, _file(Picture(_face(33, 20)), 3, CoderKind.PRIOR), _file(long, 1, CoderKind.PRIOR), sharpened, empty]


@cache
def metadata_files() -> list[bytes]:
    """Returns files with every kind of metadata; the alpha plane is one WebP bitstream, and a PNG."""
    face, alpha = _face(24, 17), np.arange(17 * 24, dtype=np.uint8).reshape(17, 24)
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    exif, xmp = b"MM\0*\0\0\0\x08\0\0\0\0\0\0", b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    whole = _file(Picture(face, alpha, icc, exif, xmp), 1, CoderKind.RAW)
    grey = _file(Picture(face[:, :, 0], alpha, None, exif), 1, CoderKind.RAW)
    container = read_container(grey)
    png = BytesIO()
    Image.fromarray(alpha).save(png, "PNG")
    chunks = tuple(replace(chunk, body=png.getvalue()) if chunk.kind == b"ALPH" else chunk for chunk in container.metadata)
    return [whole, grey, assemble(replace(container, metadata=chunks)), _file(Picture(face, None, icc, None, xmp), 1, CoderKind.RAW)]


@cache
def layer_files() -> list[bytes]:
    """Returns files with every layer, alone and together."""
    face = _face(40, 33)
    mask = np.zeros(face.shape[:2], bool)
    mask[3:9, 5:30] = mask[20:, 22:] = True
    patches, everything = exact_patches(face, mask), exact_patches(face, np.ones_like(mask))
    tint = ColourLayer(4, 3, np.arange(3 * 3 * 3).reshape(3, 3, 3) % 7 - 3).body
    avif = avif_within(face, 500)
    kinds = [Layers(patches), Layers(everything), Layers(tint=tint), Layers(patches, tint=tint), Layers(avif=avif), Layers(patches, avif)]
    grey = _file(Picture(face[:, :, 0]), 1, CoderKind.RAW, Layers(exact_patches(face[:, :, [0, 0, 0]], mask)))
    return [*(_file(Picture(face), 2, CoderKind.RAW, layers) for layers in kinds), grey]


@cache
def summed_files() -> list[bytes]:
    """Returns files with checksums of their two tile groups, without layers and with one."""
    files = []
    for has_layer in (False, True):
        container = read_container(plain_files()[4])
        header, payload, coding = container.header, container.payloads[0], _model().codings[0]
        (indices,) = vqcodec.decode_indices(plain_files()[4])
        places, grid = place_streams(coding, payload, len(payload), indices.shape), GroupGrid(header.width, header.height)
        sums = [(crc16(payload[place]), index_crc(indices[grid.place(group, 0)])) for group, place in enumerate(places)]
        chunk = Chunk(SUMS_CHUNK, b"".join(struct.pack("<HH", *pair) for pair in sums))
        tint = [Chunk(b"TINT", ColourLayer(7, 3, np.ones((1, 5, 3), np.int64)).body)] if has_layer else []
        files.append(assemble(replace(container, layers=(chunk, *tint))))
    return files


@cache
def _configs() -> list[bytes]:
    """Returns the config of the small golden model, and twice one by which it computes in 8 bits."""
    config = (MODEL / CONFIG_NAME).read_bytes()
    return [config, *[json.dumps(json.loads(config) | RANGES).encode()] * 2]


@cache
def _pictures() -> list[bytes]:
    """Returns picture files of every format that is read."""
    face = Image.fromarray(_face(16, 12))
    alpha = face.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(face.size))
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    tagged = {"icc_profile": icc, "exif": exif.tobytes()}
    grey, palette = face.convert("L"), face.quantize(8)
    kinds: Sequence[tuple[Image.Image, str, dict[str, object]]] = (
        (face, "PNG", tagged), (alpha, "PNG", {}), (palette, "PNG", {"transparency": 3}), (grey.convert("I;16"), "PNG", {}),
        (grey.convert("1"), "PNG", {}), (face, "JPEG", tagged), (grey, "JPEG", {"progressive": True}),
        (alpha, "WEBP", {"lossless": True}), (face, "WEBP", tagged), (palette, "GIF", {}), (face, "BMP", {}), (palette, "BMP", {}),
        (alpha, "TGA", {}), (face, "TGA", {"compression": "tga_rle"}), (face, "PPM", {}), (grey, "PPM", {}),
        (face, "TIFF", {"compression": "raw"}), (alpha, "TIFF", {"compression": "tiff_lzw"}), (palette, "TIFF", {}),
        (grey.convert("I;16"), "TIFF", {}), (face, "JPEG2000", {}), (alpha, "AVIF", {}),
    )  # fmt: skip
    files = []
    for image, file_format, options in kinds:
        out = BytesIO()
        image.save(out, file_format, **options)
        files.append(out.getvalue())
    return files


def mutate_files(*ways: ContainerMutation, mends_codes: bool = False) -> Mutation:
    """Returns the mutation of files by one of several of their parts; some files are scrambled as bytes, with right checksums or without.

    Args:
        ways: mutations of the parts.
        mends_codes: whether half of the files get the checksums of the codes that they hold, so that these are painted.
    """

    def mutate(rng: np.random.Generator, data: bytes) -> bytes:
        how = rng.integers(16)
        if how == 0:
            return mutate_bytes(rng, data)
        if how == 1:
            return mend(scramble(rng, data))
        try:
            container = ways[int(rng.integers(len(ways)))](rng, read_container(data))
            return assemble(with_index_crcs(container, _model()) if mends_codes and rng.integers(2) else container)
        except (FormatError, ValueError):
            return mend(scramble(rng, data))

    return mutate


def mutate_bytes(rng: np.random.Generator, data: bytes) -> bytes:
    """Returns a file that is cut, longer or scrambled, whose checksums are as they were."""
    return (cut, scramble, lambda rng, data: data + rng.bytes(int(rng.integers(1, 9))))[int(rng.integers(3))](rng, data)


def mutate_head(rng: np.random.Generator, data: bytes) -> bytes:
    """Scrambles the header alone, whose checksum is then right again in most inputs."""
    size = int(rng.integers(5, 40))
    return (mend if rng.integers(8) else bytes)(scramble(rng, data[:size]) + data[size:])


def mutate_container(rng: np.random.Generator, data: bytes) -> bytes:
    """Returns a file with another header, or random bytes, with or without the beginning and the end of a header."""
    if rng.integers(12) == 0:
        noise = (MAGIC + bytes([FORMAT_VERSION]) if rng.integers(4) else b"") + rng.bytes(int(rng.integers(120)))
        return noise + (zlib.crc32(noise).to_bytes(4, "little") if rng.integers(2) else b"")
    return (mutate_head if rng.integers(2) else _mutate_header)(rng, data)


_mutate_header = mutate_files(mutated_header, mends_codes=True)


def mutate_picture(rng: np.random.Generator, data: bytes) -> bytes:
    """Scrambles a picture file, mostly near its beginning, where its headers are."""
    size = len(data) if rng.integers(2) else min(len(data), int(rng.integers(8, 200)))
    changed = (cut if rng.integers(8) == 0 else scramble)(rng, data[:size]) + data[size:]
    return mend_png(changed) if changed[:4] == b"\x89PNG" and rng.integers(8) else changed


TARGETS: Final = {
    "container": Target(6, lambda: [*plain_files(), *layer_files()[:1], *metadata_files()[:1]], mutate_container, describe_and_decode),
    "metadata": Target(4, metadata_files, mutate_files(mutated_metadata, mutated_header), decode),
    "layers": Target(7, layer_files, mutate_files(mutated_layers), describe_and_decode),
    "streams": Target(5, lambda: [*plain_files(), *plain_files()[:2] * 3], mutate_files(mutated_payload, mends_codes=True), decode),
    "regions": Target(
        2,
        lambda: [*plain_files(), *layer_files(), *summed_files() * 4],
        mutate_files(mutated_layers, mutated_payload, mends_codes=True),
        read_parts,
    ),
    "configs": Target(1, _configs, mutated_config, load_config),
    "weights": Target(1, lambda: [(MODEL / WEIGHTS_NAME).read_bytes()], mutated_weights, load_weights),
    "pictures": Target(2, _pictures, mutate_picture, encode),
}
"""All targets by name."""


def inputs_to_mutate(name: str) -> list[bytes]:
    """Returns the seeds of a target, and the files that were found by it."""
    return [*TARGETS[name].seeds(), *(path.read_bytes() for path in corpus(name))]


def corpus(name: str) -> list[Path]:
    """Returns the files of a target that are replayed for ever."""
    return sorted((CORPUS / name).glob("*"))
