"""Writes the bytes of .vq files (FORMAT.md) from pictures, index maps and layers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vqcodec.coding.groups import GroupGrid
from vqcodec.coding.maps import CodedMap, code_map, index_crc
from vqcodec.coding.streams import stream_places
from vqcodec.errors import VqcodecError
from vqcodec.format.chunks import chunks_length
from vqcodec.format.container import CoderKind, ColourMode, Container, Header, crc16, map_size, read_container, write_container
from vqcodec.format.groups import MOST_UNSUMMED_GROUPS, GroupSums, num_groups, write_sums
from vqcodec.format.layers import NO_LAYERS, Layers, write_layers
from vqcodec.format.metadata import ALPHA_CHUNK
from vqcodec.format.octaves import PLAIN_SHARPNESS
from vqcodec.images.layers import lossless_layers
from vqcodec.images.metadata import write_metadata
from vqcodec.images.picture import Picture
from vqcodec.models.model import Model


@dataclass(frozen=True)
class EncodedFile:
    """A picture, encoded, or the reason why it cannot be.

    Attributes:
        data: bytes of the .vq file; empty where there is an error.
        indices: the index maps, int64 [h, w] each, that went into it.
        layers: what it says in another way than by codes.
        error: None where all is well.
    """

    data: bytes
    indices: list[NDArray[np.int64]] = field(default_factory=list)
    layers: Layers = NO_LAYERS
    error: VqcodecError | None = None

    @property
    def tag_bytes(self) -> int:
        """Number of bytes of the file that hold the colour profile, EXIF and XMP."""
        return chunks_length([chunk for chunk in read_container(self.data).metadata if chunk.kind != ALPHA_CHUNK])

    def or_raise(self) -> Self:
        """Returns the file itself.

        Raises:
            VqcodecError: The picture could not be encoded.
        """
        if self.error is not None:
            raise self.error
        return self


def exact_file(picture: Picture, model: Model, coder: CoderKind | None) -> EncodedFile:
    """Returns the lossless file of a picture."""
    return covered_file(picture, model, coder, lossless_layers(picture.rgb, picture.visible))


def covered_file(picture: Picture, model: Model, coder: CoderKind | None, layers: Layers) -> EncodedFile:
    """Returns the file of layers that cover the picture, under which all codes are 0 and take no bytes, unless they are coded raw."""
    height, width = picture.pixels.shape[:2]
    indices = [np.zeros(map_size(width, height, 0), np.int64)]
    return EncodedFile(write_file(picture, indices, model, CoderKind.STATIC if coder is None else coder, layers=layers), indices, layers)


def write_file(
    picture: Picture,
    indices: Sequence[NDArray[np.int64]],
    model: Model,
    coder: CoderKind | None = None,
    streams: Sequence[Sequence[bytes] | None] = (),
    layers: Layers = NO_LAYERS,
    sharpness: Sequence[int] = (),
) -> bytes:
    """Returns the bytes of the file of a picture's index maps.

    Args:
        picture: the picture that was encoded; its alpha plane, profile, EXIF and XMP are stored, its pixels do not matter.
        indices: its maps, int64 [h, w] each, top first.
        model: the model whose codes they are.
        coder: coder of all maps, or None for the smallest payload of each map.
        streams: for each map the streams of its tile groups, where its prior has coded it already, else None; may be shorter than maps.
        layers: layers above the codes.
        sharpness: for each map that of its prior; may be shorter than maps.

    Raises:
        ModelError: `coder` is PRIOR and a map has none.
    """
    coded = []
    for number, (coding, own) in enumerate(zip(model.codings[: len(indices)], indices, strict=True)):
        known = streams[number] if number < len(streams) else None
        own_streams, own_sharpness = None if known is None else [known], sharpness[number] if number < len(sharpness) else PLAIN_SHARPNESS
        coded += code_map(coding, [own], [indices[:number]], coder=coder, streams=own_streams, sharpness=own_sharpness)
    height, width = picture.pixels.shape[:2]
    sums = write_sums(group_sums(coded, indices, width, height), sum(len(one.payload) for one in coded))
    metadata, layer_chunks = write_metadata(picture), (*write_layers(layers), *sums)
    header = Header(
        model_number=model.config.number,
        weights_digest=model.config.weights_digest,
        width=width,
        height=height,
        mode=_colour_mode(picture),
        maps=tuple(one.entry for one in coded),
        layers_bytes=chunks_length(layer_chunks),
        metadata_bytes=chunks_length(metadata),
    )
    return write_container(Container(header, tuple(one.payload for one in coded), metadata, layer_chunks))


def group_sums(coded: Sequence[CodedMap], indices: Sequence[NDArray[np.int64]], width: int, height: int) -> list[list[GroupSums]]:
    """Returns the checksums of the tile groups of each map that a prior codes."""
    sums, grid = [], GroupGrid(width, height)
    for number, (one, own) in enumerate(zip(coded, indices, strict=True)):
        if one.entry.coder is CoderKind.PRIOR and num_groups(width, height) > MOST_UNSUMMED_GROUPS:
            places = stream_places(one.payload, num_groups(width, height), len(one.payload))
            sums.append([(crc16(one.payload[place]), index_crc(own[grid.place(group, number)])) for group, place in enumerate(places)])
    return sums


def _colour_mode(picture: Picture) -> ColourMode:
    is_grey, has_alpha = picture.pixels.ndim == 2, picture.alpha is not None
    if is_grey:
        return ColourMode.LA if has_alpha else ColourMode.L
    return ColourMode.RGBA if has_alpha else ColourMode.RGB
