"""Encodes pictures at the rate that is asked for, one or many at a time, by a loaded model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.checks import checked_at_least
from vqcodec.coding.tiles import batches_by_size
from vqcodec.coding.tint import read_colour_layer
from vqcodec.encoding.padding import PaddedPixels
from vqcodec.encoding.shown import Shown
from vqcodec.encoding.writing import EncodedFile, covered_file, exact_file, write_file
from vqcodec.errors import RateError, VqcodecError, lack_of_memory_told
from vqcodec.format.container import CoderKind, Part, read_header
from vqcodec.format.layers import NO_LAYERS, Layers
from vqcodec.images.fill import FilledParts
from vqcodec.images.layers import MOST_AT_ONCE_PX
from vqcodec.images.picture import Picture
from vqcodec.models.devices import batch_limits
from vqcodec.models.dial import MAX_RATE_WEIGHT, OperatingPoint, Tune
from vqcodec.models.encoders import load_encoder
from vqcodec.models.model import Model
from vqcodec.models.painters import load_draft_painter
from vqcodec.nn.autoencoder.blocks import Pixels, Seen, encode_in_blocks
from vqcodec.nn.autoencoder.codebooks import ChosenMap
from vqcodec.nn.autoencoder.inference import memory_kept
from vqcodec.nn.autoencoder.painting import paint_in_blocks
from vqcodec.nn.autoencoder.spans import BLOCK_PX, PAINTED_PX
from vqcodec.nn.configs import whole_patches
from vqcodec.nn.progress import OnProgress, no_progress, part_of_work
from vqcodec.rate.choice import RateDistortionChoice, place_weights
from vqcodec.rate.control import RateControl, largest_within
from vqcodec.rate.layers import LayerChoice, Version, byte_weight, wants_layers
from vqcodec.rate.options import DEFAULT_LAYERS, LayerOptions
from vqcodec.rate.smooth import SmoothPlaces, may_be_smooth
from vqcodec.rate.tiles import choose_in_tiles
from vqcodec.rate.tint import choose_tint, far_worth, place_errors, tint_weight

_FIRST_SHARE, _TILES_SHARE = 0.4, 0.4
"""About the share of the work on a large picture that its codes take before there are layers; the choice in tiles, of the rest."""
_DRAFT_MARGIN_PX: Final = 40
"""Pixels around a block whose codes count where a large picture is painted to choose layers: what lies farther off hardly shows."""


@lack_of_memory_told()
def encode_controlled(
    pictures: Sequence[Picture],
    model: Model,
    *,
    rate: RateControl,
    coder: CoderKind | None = None,
    options: LayerOptions = DEFAULT_LAYERS,
    batch_size: int | None = None,
    on_progress: OnProgress = no_progress,
) -> list[EncodedFile]:
    """Encodes pictures at the rate that was asked for; the other arguments are those of `encode_pictures`.

    Returns:
        One entry a picture: its file, or the error that says why it does not fit the limit.

    Raises:
        ModelError: The model has no dial for the perceptual decoder, which is asked for.
        RateError: The model has fewer maps than were asked for.
        TypeError, ValueError: batch_size is no whole number, or below 1; or the options exclude the rate (`LayerOptions.check_rate`).
    """
    options.check_rate(rate)
    if batch_size is not None:
        batch_size = checked_at_least("batch_size", batch_size, 1)
    if not rate.is_limit:
        point = rate.operating_point(model.config)
        return encode_pictures(
            pictures, model, point=point, coder=coder, tune=rate.tune, options=options, batch_size=batch_size, on_progress=on_progress
        )
    model.config.dial(rate.tune)  # raises an error where there is none
    files = []
    for picture in pictures:
        files.append(_encode_within(picture, model, rate, coder, options))
        on_progress(len(files) / len(pictures))
    return files


def _encode_within(picture: Picture, model: Model, rate: RateControl, coder: CoderKind | None, options: LayerOptions) -> EncodedFile:
    """Encodes a picture within a limit."""
    height, width = picture.pixels.shape[:2]
    limit = rate.limit_bytes(width, height)

    def encode(point: OperatingPoint, tune: Tune = rate.tune) -> EncodedFile:
        (encoded,) = encode_pictures([picture], model, point=point, coder=coder, tune=tune, options=options, max_bytes=limit)
        return encoded

    exact: list[EncodedFile] = []

    def encode_smallest() -> EncodedFile:
        tunes: tuple[Tune, ...] = ("psnr",) if rate.tune == "psnr" else (rate.tune, "psnr")
        return min((*exact, *(encode(OperatingPoint(1, MAX_RATE_WEIGHT), tune) for tune in tunes)), key=lambda file: len(file.data))

    try:
        dial = model.config.dial(rate.tune)
        if options.exact == "all" or (options.exact == "auto" and wants_layers(picture.rgb, options)):
            exact.append(exact_file(picture, model, coder))
            if len(exact[0].data) <= limit:
                return exact[0]
            if options.exact == "all":
                raise RateError(f"does not fit into {limit} bytes: the lossless file has {len(exact[0].data)}")
        return largest_within(lambda quality: encode(dial.at(quality)), limit, encode_smallest, jump=dial.jump)
    except RateError as error:
        return EncodedFile(b"", error=error if rate.target_bpp is None else RateError(f"{rate.target_bpp:g} bpp: {error}"))
    except VqcodecError as error:
        return EncodedFile(b"", error=error)


def encode_pictures(
    pictures: Sequence[Picture],
    model: Model,
    *,
    point: OperatingPoint,
    coder: CoderKind | None = None,
    tune: Tune = "iq",
    options: LayerOptions = DEFAULT_LAYERS,
    max_bytes: int | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress = no_progress,
) -> list[EncodedFile]:
    """Encodes pictures at one operating point, those of equal padded size together.

    Args:
        pictures: pictures to encode.
        model: model to encode by.
        point: number of maps and lambda.
        coder: coder of all maps, or None for the smallest payload of each map.
        tune: what bytes are spent on (`RateControl`).
        options: layers that files may have.
        max_bytes: most bytes that layers may bring a file to; None for no limit.
        batch_size: most pictures that go through the network at a time; None for what `batch_limits` says.
        on_progress: function that is told how far the work is.
    """
    if options.exact == "all":
        return [exact_file(picture, model, coder) for picture in pictures]
    encoder = _Encoder(model, point, coder, tune, options, max_bytes)
    sizes = [(whole_patches(picture.pixels.shape[1]), whole_patches(picture.pixels.shape[0])) for picture in pictures]
    encoded: dict[int, EncodedFile] = {}
    for group in batches_by_size(sizes, *batch_limits(model.device, batch_size)):
        colours = [pictures[number].rgb for number in group]
        told = part_of_work(on_progress, len(encoded) / len(pictures), len(group) / len(pictures))
        layered = [wants_layers(rgb, options) for rgb in colours]
        in_tiles = any(layered) and sizes[group[0]][0] * sizes[group[0]][1] > MOST_AT_ONCE_PX
        first = _FIRST_SHARE if in_tiles else 1.0
        seen: list[Seen] = []
        maps = encoder.maps(PaddedPixels(colours), on_progress=part_of_work(told, 0, first), seen=seen)
        painted = encoder.painted_together(maps, sizes[group[0]])
        conditions = [condition for of_group in seen for condition in of_group.conditions]
        seen.clear()
        for row, (number, rgb) in enumerate(zip(group, colours, strict=True)):
            condition = conditions.pop(0) if conditions else None
            known = None if painted is None else painted[row]
            smooth = SmoothPlaces() if options.layers and not layered[row] and may_be_smooth(rgb) else None
            file = encoder.file(pictures[number], rgb, maps, row, painted=known, condition=condition, smooth=smooth)
            if layered[row] and in_tiles:
                share = (1 - first) / len(group)
                file = encoder.layered_in_tiles(pictures[number], rgb, file, part_of_work(told, first + row * share, share))
            elif layered[row]:
                file = encoder.layered(pictures[number], file)
            elif smooth is not None and smooth.are_painted_worse:
                file = encoder.layered(pictures[number], file, smooth=True)
            encoded[number] = file
    return [encoded[number] for number in range(len(pictures))]


@dataclass(frozen=True)
class _Encoder:
    """Encoding at one operating point; the attributes are arguments of `encode_pictures`."""

    model: Model
    point: OperatingPoint
    coder: CoderKind | None
    tune: Tune
    options: LayerOptions
    max_bytes: int | None

    def maps(
        self,
        pixels: Pixels,
        free: NDArray[np.bool_] | None = None,
        on_progress: OnProgress = no_progress,
        seen: list[Seen] | None = None,
    ) -> list[ChosenMap]:
        """Returns the maps of pictures uint8 [N, H, W, 3]; at `free` places, [N, H / 8, W / 8], codes do not matter.

        What the networks have seen of pictures of one block is added to the list `seen`.
        """
        weights = place_weights(pixels) if self.tune != "psnr" else None
        choice = RateDistortionChoice(self.model.codings, self.point.rate_weight, self.coder, weights, free, with_streams=True)
        encoder = load_encoder(self.model)
        return encode_in_blocks(encoder, pixels, self.point.num_maps, choose_at=choice.within, on_progress=on_progress, seen_alone=seen)

    def painted_together(self, maps: list[ChosenMap], size: tuple[int, int]) -> NDArray[np.uint8] | None:
        """Returns what the decoder paints from the maps of pictures of one block, [N, H, W, 3], on a GPU; None where each is painted alone.

        Painted together, a sample may round to another level, which would let files that a CPU writes depend on their batch.
        """
        if self.model.device == "cpu" or not self.options.layers or max(size) > BLOCK_PX:
            return None
        return paint_in_blocks(load_draft_painter(self.model), [chosen.indices for chosen in maps])

    def file(
        self,
        picture: Picture,
        rgb: NDArray[np.uint8] | FilledParts,
        maps: list[ChosenMap],
        row: int,
        layers: Layers = NO_LAYERS,
        painted: NDArray[np.uint8] | None = None,
        condition: NDArray[np.float32] | None = None,
        smooth: SmoothPlaces | None = None,
    ) -> EncodedFile:
        """Returns the file of one of the pictures that maps were computed of, with a colour layer where that pays and fits.

        Args:
            picture: the picture.
            rgb: uint8 [H, W, 3], the pixels that were encoded.
            maps: maps of a batch.
            row: number of the picture in the batch.
            layers: layers above the codes.
            painted: what the decoder paints from the maps, uint8 [H, W, 3] of the padded size, where that is known.
            condition: what the encoder knows already of a picture of one block that is to be painted (`load_draft_painter`).
            smooth: what is told the picture and what is painted of it.
        """
        indices = [chosen.indices[row] for chosen in maps]
        streams = [None if chosen.streams is None else chosen.streams[row] for chosen in maps]
        sharpness = [chosen.sharpness for chosen in maps]
        data = write_file(picture, indices, self.model, self.coder, streams, layers, sharpness)
        if self.options.layers:
            height, width = rgb.shape[:2]
            errors, squared = self._colour_errors(rgb, indices, Shown(picture, layers), painted, condition, smooth)
            header, _ = read_header(data, max_pixels=height * width)
            weight = tint_weight(squared, header.payload_bytes)
            tint = choose_tint(errors, width, height, weight, far_worth(self.tune))
            if tint is not None:
                tinted = replace(layers, tint=tint.body)
                larger = write_file(picture, indices, self.model, self.coder, streams, tinted, sharpness)
                if self.max_bytes is None or len(larger) <= self.max_bytes:
                    return EncodedFile(larger, indices, tinted)
        return EncodedFile(data, indices, layers)

    @memory_kept()
    def _colour_errors(
        self,
        rgb: NDArray[np.uint8] | FilledParts,
        indices: list[NDArray[np.int64]],
        shown: Shown,
        known: NDArray[np.uint8] | None,
        condition: NDArray[np.float32] | None,
        smooth: SmoothPlaces | None,
    ) -> tuple[NDArray[np.float32], float]:
        """Returns what the mean colours of places of 8x8 pixels lack where the maps are painted, in levels, float32 [H / 8, W / 8, 3].

        Beside it, returns the squared error of all that is shown, summed over R, G and B and all pixels.
        """
        means, squared, (height, width) = [], 0.0, rgb.shape[:2]
        rows_at_once = BLOCK_PX if max(height, width) <= BLOCK_PX else PAINTED_PX
        for first in range(0, height, rows_at_once):
            part = slice(first, min(first + rows_at_once, height)), slice(0, width)
            own = rgb[part]
            painted = shown.beside(own, self._painted(indices, part, condition=condition) if known is None else known[part], part)
            if smooth is not None:
                smooth.add(own, painted)
            of_part, squared_of_part = place_errors(own, painted)
            means.append(of_part)
            squared += squared_of_part
        return np.concatenate(means), squared

    def layered(self, picture: Picture, codes: EncodedFile, *, smooth: bool = False) -> EncodedFile:
        """Returns the file of a picture with the layers that are the best use of bytes, given that of codes alone."""
        size = picture.pixels.shape[1], picture.pixels.shape[0]

        def version(file: EncodedFile) -> Version:
            painted = self._painted(file.indices, (slice(0, size[1]), slice(0, size[0])))
            if file.layers.tint is not None:
                painted = read_colour_layer(file.layers.tint, *size).added_to(painted)
            return Version(file.data, file.indices, file.layers, Shown(picture, file.layers).coloured(painted))

        def encode(rgb: NDArray[np.uint8], free: NDArray[np.bool_], layers: Layers) -> Version:
            maps = self.maps(PaddedPixels([rgb]), free[None])
            return version(self.file(picture, rgb, maps, 0, layers))

        def cover(layers: Layers) -> Version:
            file = covered_file(picture, self.model, self.coder, layers)
            return Version(file.data, file.indices, layers, picture.rgb)

        choice = LayerChoice(
            picture.rgb,
            picture.visible,
            byte_weight(self.point),
            self.options,
            self.max_bytes,
            encode,
            cover,
            smooth=smooth,
            must_fit=self.point.rate_weight == MAX_RATE_WEIGHT,
            tag_bytes=codes.tag_bytes,
        )
        best = choice.best(version(codes))
        return EncodedFile(best.data, best.indices, best.layers)

    def layered_in_tiles(
        self, picture: Picture, rgb: NDArray[np.uint8], codes: EncodedFile, on_progress: OnProgress = no_progress
    ) -> EncodedFile:
        """Returns the file of a large picture with the exact patches that are the best use of bytes, given that of codes alone.

        Args:
            picture: the picture.
            rgb: uint8 [H, W, 3], its pixels.
            codes: the file of codes alone.
            on_progress: function that is told how far the work is.
        """
        if self.options.exact == "off":
            return codes
        tint = None if codes.layers.tint is None else read_colour_layer(codes.layers.tint, rgb.shape[1], rgb.shape[0])

        def paint(part: Part) -> NDArray[np.uint8]:
            painted = self._painted(codes.indices, part, PAINTED_PX)
            tinted = painted if tint is None else tint.added_to(painted, part[0].start, part[1].start, in_place=True)
            return Shown(picture, codes.layers).coloured(tinted)

        weight, tag_bytes, num_bytes = byte_weight(self.point), codes.tag_bytes, len(codes.data) - codes.tag_bytes
        chosen = choose_in_tiles(rgb, picture.alpha, paint, num_bytes, weight, part_of_work(on_progress, 0, _TILES_SHARE))
        if chosen is None:
            return codes
        layers = Layers(chosen.patches)
        if chosen.covers:
            file = covered_file(picture, self.model, self.coder, layers)
        else:
            filled = FilledParts(rgb, chosen.hidden)
            told = part_of_work(on_progress, _TILES_SHARE, 1 - _TILES_SHARE)
            file = self.file(picture, filled, self.maps(PaddedPixels([filled]), chosen.free[None], told), 0, layers)
        fits = self.max_bytes is None or len(file.data) <= self.max_bytes
        return file if fits and chosen.pay(len(file.data) - tag_bytes, num_bytes, weight) else codes

    def _painted(
        self, indices: Sequence[NDArray[np.int64]], part: Part, block: int = BLOCK_PX, condition: NDArray[np.float32] | None = None
    ) -> NDArray[np.uint8]:
        """Returns about what the faithful decoder paints from a picture's maps at rows and columns, uint8 [H, W, 3], block by block."""
        painter = load_draft_painter(self.model, condition)
        pixels = paint_in_blocks(painter, [one[None] for one in indices], part=part, margin=_DRAFT_MARGIN_PX, block=block)
        painted: NDArray[np.uint8] = pixels[0]
        return painted
