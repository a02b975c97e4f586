"""Priors by the compiled kernels alone: whole walks of batches of tiles, from streams to codes, from codes to streams, or choosing codes.

The kernels (`vqcodec/nn/kernels`) compute conditions, steps and frequencies, and read and write the streams (FORMAT.md, sections 4 and 7).
They give the very codes and bytes of the priors in torch. The interpreter's lock is free meanwhile; torch is not needed.
"""

import ctypes
import weakref
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.format.container import TOP_TILE_CODES
from vqcodec.format.octaves import PLAIN_SHARPNESS
from vqcodec.nn.configs import PriorConfig
from vqcodec.nn.kernels import library
from vqcodec.nn.prior.choice import Choice, ChoiceOfKernels
from vqcodec.nn.prior.drawing import Draw, DrawingOfKernels
from vqcodec.nn.prior.kernel_layers import kernel_layers
from vqcodec.nn.prior.number_formats import EXACT_LIMIT, MAX_LOGIT, MAX_STREAM, MAX_WEIGHT, WEIGHT_BITS_RANGE

_MAX_COLUMNS: Final = 16
_MAX_MAPS: Final = 16

_LACKS_MEMORY, _BAD_CODE = 1, 2

Codes = NDArray[np.integer[Any]]
"""Codes of a tile, [h, w]."""


@dataclass(frozen=True)
class Tiles:
    """The tiles of a batch.

    Attributes:
        shapes: (h, w) of each tile in codes.
        group_sizes: number of tiles of each group that shares a stream.
        earlier: for each tile the same tile of the maps before, [h/2, w/2] and then [h, w] each.
    """

    shapes: Sequence[tuple[int, int]]
    group_sizes: Sequence[int]
    earlier: Sequence[Sequence[Codes]]


def has_native_priors() -> bool:
    """Returns whether there are kernels for priors."""
    return library() is not None


def kernels_take(config: PriorConfig) -> bool:
    """Returns whether there are kernels, and they take a prior of this shape."""
    return has_native_priors() and config.columns <= _MAX_COLUMNS and config.earlier_maps < _MAX_MAPS


class NativePrior:
    """The prior of one map, prepared for the kernels.

    Args:
        config: its shape.
        integers: its parameters as `PixelSnail.integers` gives them and weights files hold them: weights, their bits and embeddings int8,
            all others int16.
        kernels: the kernels to use; None for the fastest.

    Attributes:
        sharpness: sixteenths by which the logits are multiplied.

    Raises:
        ValueError: There are no kernels, or they do not take a prior of this shape; or a parameter is missing, unknown, of another shape
            or type, or out of its range (FORMAT.md, section 7).
        MemoryError: There is no memory.
    """

    def __init__(self, config: PriorConfig, integers: Mapping[str, NDArray[Any]], kernels: ctypes.CDLL | None = None) -> None:
        kernels = library() if kernels is None else kernels
        if kernels is None:
            raise ValueError("vqcodec was installed without compiled kernels")
        if config.columns > _MAX_COLUMNS or config.earlier_maps >= _MAX_MAPS:
            raise ValueError(
                f"kernels take priors of up to {_MAX_COLUMNS} columns and {_MAX_MAPS - 1} maps before, "
                f"not {config.columns} and {config.earlier_maps}"
            )
        for layer in kernel_layers(config):  # before there is memory for layers that a config alone speaks of
            _shaped(integers, f"{layer.name}.weight", np.int8, layer.shape)
        self.config = config
        self.sharpness = PLAIN_SHARPNESS
        self._origin: NativePrior | None = None  # that owns the memory
        self._kernels = kernels
        coarse, fine = config.condition_blocks if config.earlier_maps else (0, 0)
        sizes = (
            *(config.codebook_size, config.slope, config.channels, config.blocks, config.columns, config.embedding_dim),
            *(config.heads, config.head_dim, config.earlier_maps, config.condition_channels, coarse, fine, TOP_TILE_CODES),
        )
        self._prior = _with_memory(kernels.prior_new((ctypes.c_int64 * len(sizes))(*sizes)))
        weakref.finalize(self, kernels.prior_free, self._prior)
        self._fill(dict(integers))

    def sharpened(self, sharpness: int) -> "NativePrior":
        """Returns the same prior of another sharpness, 1 to `MAX_SHARPNESS`, which shares its memory."""
        if sharpness == self.sharpness:
            return self
        other = copy(self)
        other.sharpness, other._origin = sharpness, self
        return other

    def _fill(self, left: dict[str, NDArray[Any]]) -> None:
        config = self.config
        for layer in kernel_layers(config):
            weight = _taken(left, f"{layer.name}.weight", np.int8, layer.shape, MAX_WEIGHT)
            bits = _taken(left, f"{layer.name}.weight_bits", np.int8, layer.shape[:1], WEIGHT_BITS_RANGE[1], least=WEIGHT_BITS_RANGE[0])
            bias = _taken(left, f"{layer.name}.bias", np.int16, layer.shape[:1], MAX_LOGIT if layer.name == "head" else MAX_STREAM)
            if int(np.abs(weight.reshape(len(weight), -1).astype(np.int64)).sum(axis=1).max()) * MAX_WEIGHT >= EXACT_LIMIT:
                raise ValueError(f"{layer.name}.weight: dot products could exceed {EXACT_LIMIT}")
            rows, columns = layer.shape[1:3] if len(layer.shape) == 4 else (1, 1)
            sizes = (len(weight), rows, columns, layer.shape[-1], layer.by_columns, layer.bias_bits, layer.shift, layer.gates)
            arrays = (array.ctypes.data for array in (weight, bits, bias))
            _with_memory(self._kernels.prior_layer(self._prior, layer.number, *arrays, *sizes))
        embeddings = ["embedding.weight", *(f"condition.embeddings.{number}.weight" for number in range(config.earlier_maps))]
        for number, name in enumerate(embeddings):
            table = _taken(left, name, np.int8, (config.codebook_size, config.embedding_dim), MAX_WEIGHT)
            _with_memory(self._kernels.prior_table(self._prior, number, table.ctypes.data))
        if config.heads:
            positions = _taken(left, "attention.position", np.int16, (2, TOP_TILE_CODES, config.channels), MAX_STREAM)
            _with_memory(self._kernels.prior_positions(self._prior, positions.ctypes.data))
        if left:
            raise ValueError(f"unknown tensors {', '.join(sorted(left))}")

    def decode(self, tiles: Tiles, streams: Sequence[bytes], *, threads: int) -> tuple[list[NDArray[np.int64]], list[bool]]:
        """Decodes the codes of some tiles.

        Args:
            tiles: the tiles.
            streams: the stream of each group, whose last byte is not 0.
            threads: number of threads to work with, at most.

        Returns:
            The codes int64 [h, w] of each tile; and whether each stream is not used up by them.
        """
        if len(streams) != len(tiles.group_sizes):
            raise ValueError(f"{len(streams)} streams, expected {len(tiles.group_sizes)}, one a group")
        padded = [stream + bytes(-len(stream) % 4) for stream in streams]
        words = np.frombuffer(b"".join(padded), "<u4").astype(np.uint32)
        ends = np.cumsum([len(stream) // 4 for stream in padded])
        codes, left = self._run(tiles, None, words, ends, None, threads)
        return codes, [bool(is_left) for is_left in left]

    def encode(self, tiles: Tiles, codes: Sequence[Codes], *, threads: int) -> list[bytes]:
        """Encodes the codes [h, w] of some tiles; returns the stream of each group."""
        return self._coded(tiles, self.shares(tiles, codes, threads=threads))

    def shares(self, tiles: Tiles, codes: Sequence[Codes], *, threads: int) -> NDArray[np.uint32]:
        """Returns the frequency of each code [h, w] of some tiles, and the sum of those before it, [M, 2], in the order of coding."""
        shares = _room_for_shares(tiles)
        self._run(tiles, codes, *_no_words(tiles), shares, threads)
        return shares

    def draw(self, tiles: Tiles, draw: Draw, *, threads: int) -> list[NDArray[np.int64]]:
        """Returns the codes int64 [h, w] of some tiles, drawn in the order of one group of them all; errors of `draw` are raised here."""
        drawing = DrawingOfKernels(draw, self.config.codebook_size)
        return drawing.run(lambda: self._run(tiles, None, *_no_words(tiles), None, threads, drawing=drawing)[0])

    def choose(
        self, tiles: Tiles, choice: Choice, places: Sequence[NDArray[np.float32]], *, threads: int, with_streams: bool
    ) -> tuple[list[NDArray[np.int64]], list[bytes]]:
        """Chooses the codes of some tiles.

        Args:
            tiles: the tiles.
            choice: how codes are chosen.
            places: for each tile [h, w, D + 1], what its places are to be like: vector z and weight.
            threads: number of threads to work with, at most.
            with_streams: whether the codes are entropy-coded, too.

        Returns:
            The codes int64 [h, w] of each tile; and the stream of each group, none if they were not asked for.

        Raises:
            ValueError: choice or places do not fit to the prior, to the tiles or to each other.
        """
        of_kernels = choice.for_kernels(self.config.codebook_size, tiles.shapes, places)
        shares = _room_for_shares(tiles) if with_streams else None
        codes, _ = self._run(tiles, None, *_no_words(tiles), shares, threads, of_kernels)
        return codes, [] if shares is None else self._coded(tiles, shares)

    def _coded(self, tiles: Tiles, shares: NDArray[np.uint32]) -> list[bytes]:
        """Returns the stream of each group by the frequency of each code, and the sum of those before it, in the order of coding."""
        counts = [height * width for height, width in tiles.shapes]
        streams, tile, start = [], 0, 0
        for size in tiles.group_sizes:
            count = sum(counts[tile : tile + size])
            words = np.empty(count + 2, np.uint32)
            num_words = self._kernels.rans_encode(shares[start : start + count].ctypes.data, count, words.ctypes.data)
            streams.append(words[:num_words].astype("<u4").tobytes().rstrip(b"\0"))
            tile, start = tile + size, start + count
        return streams

    def _run(
        self,
        tiles: Tiles,
        known: Sequence[Codes] | None,
        words: NDArray[np.uint32],
        ends: NDArray[np.int64],
        shares: NDArray[np.uint32] | None,
        threads: int,
        choice: ChoiceOfKernels | None = None,
        drawing: DrawingOfKernels | None = None,
    ) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
        """Walks through the tiles by the kernels; returns the codes of each, and whether something is left of each group's stream."""
        self._check(tiles, known)
        sizes = np.array(tiles.shapes, np.int64)
        groups = np.cumsum(tiles.group_sizes)
        earlier = _flat([codes for of_tile in tiles.earlier for codes in of_tile])
        counts = sizes.prod(axis=1)
        codes = np.zeros(int(counts.sum()), np.int32) if known is None else _flat(known)
        left = np.zeros(len(groups), np.int64)
        result = self._kernels.walk_run(
            *(self._prior, self.sharpness, max(1, threads), len(sizes), sizes.ctypes.data, len(groups), groups.ctypes.data),
            *(array.ctypes.data for array in (earlier, codes, words, ends)),
            *(None if choice is None else ctypes.byref(choice), None if drawing is None else drawing.function),
            *(None if shares is None else shares.ctypes.data, left.ctypes.data),
        )
        if result == _BAD_CODE:
            raise ValueError(f"codes must be in 0..{self.config.codebook_size - 1}")
        _with_memory(result != _LACKS_MEMORY)
        parts = np.split(codes.astype(np.int64), np.cumsum(counts)[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, tiles.shapes, strict=True)], left

    def _check(self, tiles: Tiles, known: Sequence[Codes] | None) -> None:
        """Checks what the kernels rely on.

        Raises:
            ValueError: Tiles, groups and codes do not fit together.
        """
        config = self.config
        scale = 2 if config.earlier_maps else 1
        for shape, before in zip(tiles.shapes, tiles.earlier, strict=True):
            height, width = shape
            expected = [(height // 2, width // 2), *[shape] * (config.earlier_maps - 1)] if config.earlier_maps else []
            if not all(1 <= side <= scale * TOP_TILE_CODES and side % scale == 0 for side in shape):
                raise ValueError(f"a tile of {height}x{width} codes, expected sides of 1..{TOP_TILE_CODES} times {scale}")
            if [codes.shape for codes in before] != expected:
                raise ValueError(f"a tile with maps before of {[codes.shape for codes in before]}, expected {expected}")
        if sum(tiles.group_sizes) != len(tiles.shapes) or min(tiles.group_sizes, default=0) < 1:
            raise ValueError(f"groups of {tiles.group_sizes} tiles, expected {len(tiles.shapes)} in all")
        if known is not None and [codes.shape for codes in known] != list(tiles.shapes):
            raise ValueError(f"codes of {[codes.shape for codes in known]}, expected {list(tiles.shapes)}")


def _taken(
    left: dict[str, NDArray[Any]], name: str, dtype: type, shape: tuple[int, ...], largest: int, *, least: int | None = None
) -> NDArray[Any]:
    """Removes a tensor and returns it, contiguous.

    Raises:
        ValueError: It is missing, of another type or shape, or has values beyond `largest` (or below `least`).
    """
    values = _shaped(left, name, dtype, shape)
    del left[name]
    lowest = -largest if least is None else least
    if values.size and (int(values.min()) < lowest or int(values.max()) > largest):
        raise ValueError(f"tensor {name} has values of {values.min()}..{values.max()}, expected {lowest}..{largest}")
    return np.ascontiguousarray(values)


def _shaped(tensors: Mapping[str, NDArray[Any]], name: str, dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
    """Returns a tensor.

    Raises:
        ValueError: It is missing, or of another type or shape.
    """
    if name not in tensors:
        raise ValueError(f"there is no tensor {name}, expected one of shape {list(shape)}")
    values = tensors[name]
    if values.dtype != dtype or values.shape != shape:
        raise ValueError(f"tensor {name} is {values.dtype} of shape {list(values.shape)}, expected {np.dtype(dtype)} of {list(shape)}")
    return values


def _room_for_shares(tiles: Tiles) -> NDArray[np.uint32]:
    """Returns room for the frequency of each code, and for the sum of those before it."""
    return np.empty((sum(height * width for height, width in tiles.shapes), 2), np.uint32)


def _no_words(tiles: Tiles) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Returns the words, and the number of the word after the last of each, of groups without streams."""
    nothing = np.zeros(len(tiles.group_sizes), np.int64)
    return nothing.astype(np.uint32), nothing


def _flat(tiles: Sequence[Codes]) -> NDArray[np.int32]:
    """Returns the codes of some tiles in one array; what does not fit into int32 becomes -1."""
    parts = [np.where((codes >= 0) & (codes <= EXACT_LIMIT), codes, -1).astype(np.int32).ravel() for codes in tiles]
    return np.concatenate([*parts, np.empty(0, np.int32)])


def _with_memory(result: Any) -> Any:
    """Returns the result of a kernel that is not 0.

    Raises:
        MemoryError: It is 0.
    """
    if not result:
        raise MemoryError("not enough memory for a prior")
    return result
