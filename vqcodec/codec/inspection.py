"""What the bytes of a file are spent on, as pictures: its maps in colour, bits by place, exact pixels, bits by map."""

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vqcodec.coding.costs import code_bits
from vqcodec.decoding.files import DecodedFile, decode_codes, open_file
from vqcodec.decoding.painting import paint
from vqcodec.errors import ImageError, lack_of_memory_told
from vqcodec.format.container import map_scale
from vqcodec.images.picture import in_srgb, picture_to_pil
from vqcodec.images.sheets import Panel, colours_of_codes, enlarged, faded, heat_over, sheet
from vqcodec.info import FileInfo, read_info
from vqcodec.models.model import Model
from vqcodec.models.painters import load_painter
from vqcodec.nn.configs import PATCH_TOP
from vqcodec.nn.progress import OnProgress, no_progress, part_of_work

_MOST_QUANTILE: Final = 0.995
"""Quantile of the bits of places that has the brightest colour."""


@dataclass(frozen=True, repr=False, eq=False)
class Inspection:
    """What is in a file, as pictures. A notebook shows it as its `sheet`.

    Attributes:
        info: description of the file.
        picture: the decoded picture, RGB, in sRGB unless its profile cannot be used.
        maps: a picture of each map, RGB, one pixel a code; codes whose vectors are alike look alike.
        bits: bits of each code of each map, float32 [h, w], as an ideal coder spends them; 0 in a map whose payload is empty.
        bits_by_place: bits that squares of 8x8 pixels cost, float32 [H / 8, W / 8], sides rounded up: those of the codes of all maps; those
            of exact patches, spread evenly over their exact pixels; those of an AVIF picture, spread evenly over all.
        exact: the pixels that come back unchanged, bool [H, W].
    """

    info: FileInfo
    picture: Image.Image
    maps: tuple[Image.Image, ...]
    bits: tuple[NDArray[np.float32], ...]
    bits_by_place: NDArray[np.float32]
    exact: NDArray[np.bool_]

    @cached_property
    def most_bits(self) -> float:
        """Bits of a place that has the brightest colour in `heat`: only 0.5 % of the places cost more."""
        return max(float(np.quantile(self.bits_by_place, _MOST_QUANTILE)), 1.0)

    @cached_property
    def heat(self) -> Image.Image:
        """The picture in grey under colours, from dark to bright, that show the bits by place."""
        return heat_over(self.picture, self.bits_by_place, self.most_bits, PATCH_TOP)

    @cached_property
    def exact_picture(self) -> Image.Image:
        """The picture, pale but for the pixels that come back unchanged."""
        return faded(self.picture, self.exact)

    @cached_property
    def enlarged_maps(self) -> tuple[Image.Image, ...]:
        """The pictures of the maps, as large as the picture."""
        return tuple(enlarged(image, self.picture.size, PATCH_TOP // map_scale(number)) for number, image in enumerate(self.maps))

    def parts(self) -> list[tuple[str, int]]:
        """Returns name and bytes of each part of the file: its maps, its layers, its metadata, and what is left for the header."""
        parts = [(f"map {entry.name}", entry.num_bytes) for entry in self.info.maps]
        parts += [(layer.title, layer.num_bytes) for layer in self.info.layers]
        parts.append(("metadata", self.info.metadata_bytes))
        parts.append(("header", self.info.num_bytes - sum(num_bytes for _, num_bytes in parts)))
        return [part for part in parts if part[1]]

    def sheet(self) -> Image.Image:
        """Returns all of this as one RGB image, in panels of up to 480 pixels a side."""
        info = self.info
        panels = [Panel(f"{info.width}x{info.height} pixels, {info.bpp:.3f} bits per pixel", self.picture)]
        panels.append(Panel(f"bits by 8x8 pixels: dark 0, bright {self.most_bits:.0f}", self.heat))
        if self.exact.any():
            panels.append(Panel(f"exact pixels: {self.exact.mean():.1%}", self.exact_picture))
        for number, (image, entry) in enumerate(zip(self.maps, info.maps, strict=True)):
            title = f"map {entry.name}: {entry.width}x{entry.height}, {entry.bits_per_code:.2f} bits a code"
            panels.append(Panel(title, image, PATCH_TOP // map_scale(number)))
        largest = max(num_bytes for _, num_bytes in self.parts())
        bars = [(name, size / largest, f"{size} bytes, {size / info.num_bytes:.1%}") for name, size in self.parts()]
        return sheet(self.picture.size, panels, f"{info.num_bytes} bytes, model {info.model}", bars)

    def _repr_png_(self) -> bytes:
        """Returns the sheet as a PNG, which notebooks show."""
        out = BytesIO()
        self.sheet().save(out, "PNG")
        return out.getvalue()

    def __repr__(self) -> str:
        return f"Inspection({self.info.width}x{self.info.height}, {len(self.maps)} maps, {self.info.num_bytes} bytes)"


@lack_of_memory_told()
def inspect_file(
    data: bytes,
    model: Model | None,
    device: str = "auto",
    *,
    realism: float = 0.0,
    max_pixels: int | None = None,
    on_progress: OnProgress = no_progress,
) -> Inspection:
    """Decodes a .vq file, and finds out what its bytes are spent on.

    Args:
        data: bytes of the file.
        model: model to decode by; None for the installed one that the file names.
        device: device for a model that is not given, "auto", "cpu" or "cuda".
        realism: 0 for the picture closest to the original, 1 for one that looks most like a photo, or between.
        max_pixels: most pixels of the file (`open_file`).
        on_progress: function that is told how far the work is.

    Raises:
        VqcodecError: The bytes are not an intact .vq file, or its model cannot be used.
        TypeError, ValueError: An argument is not as described.
    """
    opened = open_file(data, model=model, device=device, max_pixels=max_pixels)
    load_painter(opened.model, realism)
    decoded = decode_codes([opened], on_progress=part_of_work(on_progress, 0, 0.3))[0].or_raise()
    bits = []
    for number, indices in enumerate(decoded.indices):
        on_progress(0.3 + 0.4 * number / len(decoded.indices))
        coding, entry = opened.model.codings[number], opened.maps[number].entry
        of_codes = np.zeros(indices.shape, np.float32)
        if entry.num_bytes:  # none under layers that cover the picture
            of_codes = code_bits(coding, entry.coder, indices, decoded.indices[:number], entry.sharpness)
        bits.append(of_codes)
    (picture,) = paint([decoded], realism=realism, on_progress=part_of_work(on_progress, 0.7, 0.3))
    colours = map(colours_of_codes, opened.model.codebooks)
    maps = tuple(Image.fromarray(of_codes[indices]) for of_codes, indices in zip(colours, decoded.indices, strict=False))
    exact = decoded.file.layers.exact(decoded.file.header.height, decoded.file.header.width)
    with suppress(ImageError):  # of a profile that cannot be used
        picture = in_srgb(picture)
    shown = picture_to_pil(picture).convert("RGB")
    return Inspection(read_info(data), shown, maps, tuple(bits), _bits_by_place(decoded, bits), exact)


def _bits_by_place(decoded: DecodedFile, bits: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Returns the bits that squares of 8x8 pixels cost, float32 [H / 8, W / 8], as `Inspection.bits_by_place` describes them."""
    layers = decoded.file.layers
    height, width = bits[0].shape
    of_places = np.zeros((height, width), np.float32)
    for number, of_map in enumerate(bits):
        scale = map_scale(number)
        of_places += of_map.reshape(height, scale, width, scale).sum(axis=(1, 3))
    for patch, (_, mask) in zip(layers.layers.patches, layers.patches, strict=True):
        top, left = patch.top % PATCH_TOP, patch.left % PATCH_TOP
        padded = np.pad(mask, ((top, -(top + mask.shape[0]) % PATCH_TOP), (left, -(left + mask.shape[1]) % PATCH_TOP)))
        rows, columns = (side // PATCH_TOP for side in padded.shape)
        counts = padded.reshape(rows, PATCH_TOP, columns, PATCH_TOP).sum(axis=(1, 3))
        place = (
            slice(patch.top // PATCH_TOP, patch.top // PATCH_TOP + rows),
            slice(patch.left // PATCH_TOP, patch.left // PATCH_TOP + columns),
        )
        of_places[place] += counts * np.float32(8 * len(patch.bitstream) / patch.num_exact)
    if layers.layers.avif is not None:
        of_places += np.float32(8 * len(layers.layers.avif) / of_places.size)
    return of_places
