"""Mutations of the parts of a .vq file. Each takes a generator and what it changes, and returns something of the same kind."""

import zlib
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from typing import Final, TypeVar

import numpy as np
from PIL import Image

from tests.fuzz.files import mend_png
from vqcodec.format.chunks import Chunk
from vqcodec.format.container import CoderKind, ColourMode, Container
from vqcodec.format.layers import AVIF_LAYER, COLOUR_LAYER, EXACT_LAYER, Layers, Patch, read_layers, write_layers
from vqcodec.format.octaves import PLAIN_SHARPNESS
from vqcodec.images.metadata import ALPHA_CHUNK, EXIF_CHUNK, ICC_CHUNK, XMP_CHUNK
from vqcodec.images.webp import encode_webp

NUMBERS: Final = (0, 1, 2, 7, 8, 9, 63, 100, 127, 128, 255, 256, 513, 16383, 16384, 1 << 16, (1 << 20) - 1, 1 << 20, (1 << 28) - 1)
"""Values of fields at which something changes."""
BOMB: Final = zlib.compress(bytes((16 << 20) + 1))
"""A zlib stream of a byte more than any metadata may have."""
_LAYER_KINDS: Final = (EXACT_LAYER, AVIF_LAYER, COLOUR_LAYER, b"QQQQ", b"qqqq")
_METADATA_KINDS: Final = (ALPHA_CHUNK, ICC_CHUNK, EXIF_CHUNK, XMP_CHUNK, b"QQQQ", b"qqqq")

Item = TypeVar("Item")


def pick(rng: np.random.Generator, items: Sequence[Item]) -> Item:
    return items[int(rng.integers(len(items)))]


def scramble(rng: np.random.Generator, data: bytes) -> bytes:
    """Returns data in which a few bytes are others, are missing, or are new."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(len(out) + 1))
        how = rng.integers(5)
        if how == 0:
            out[place : place + int(rng.integers(1, 9))] = b""
        elif how == 1:
            out[place:place] = rng.bytes(int(rng.integers(1, 9)))
        elif how == 2:
            out[place : place + 1] = bytes([pick(rng, (0, 1, 127, 128, 255))])
        else:
            out[place : place + 1] = bytes([int(rng.integers(256))])
    return bytes(out)


def cut(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: int(rng.integers(len(data) + 1))]


def mutated_header(rng: np.random.Generator, container: Container) -> Container:
    """Returns a file with one other field in its header, or with maps that are missing, more, or exchanged."""
    header, payloads = container.header, list(container.payloads)
    maps = list(header.maps)
    number = int(rng.integers(len(maps)))
    how = rng.integers(8)
    if how == 0:
        return replace(container, header=replace(header, mode=pick(rng, tuple(ColourMode))))
    if how == 1:
        return replace(container, header=replace(header, **{pick(rng, ("width", "height")): pick(rng, NUMBERS)}))
    if how == 2:
        return replace(container, header=replace(header, width=header.width + int(rng.integers(-9, 10)), height=header.height + 1))
    if how == 3:
        return replace(container, header=replace(header, model_number=pick(rng, (1, 5, 1000, header.model_number + 1))))
    if how == 4:
        return replace(container, header=replace(header, weights_digest=rng.bytes(4)))
    if how == 5:
        coder = pick(rng, tuple(CoderKind))
        sharpness = pick(rng, (1, 15, 16, 17, 40, 255)) if coder is CoderKind.PRIOR else PLAIN_SHARPNESS
        maps[number] = replace(maps[number], coder=coder, sharpness=sharpness)
    elif how == 6:
        del maps[number + 1 :], payloads[number + 1 :]
    else:
        place = int(rng.integers(len(maps) + 1))
        maps.insert(place, maps[number])
        payloads.insert(place, payloads[number])
    return replace(container, header=replace(header, maps=tuple(maps)), payloads=tuple(payloads))


def mutated_payload(rng: np.random.Generator, container: Container) -> Container:
    """Returns a file one of whose payloads is another."""
    payloads = list(container.payloads)
    number = int(rng.integers(len(payloads)))
    payload = payloads[number]
    how = rng.integers(7)
    if how == 0:
        payload = cut(rng, payload)
    elif how == 1:
        payload += rng.bytes(int(rng.integers(1, 9)))
    elif how == 2:
        payload = rng.bytes(int(rng.integers(1, 64)))
    elif how == 3:
        payload = pick(rng, payloads)
    elif how == 4:
        payload = payload[:-1] + bytes([int(rng.integers(256))])
    else:
        payload = scramble(rng, payload)
    payloads[number] = payload
    return replace(container, payloads=tuple(payloads))


def mutated_layers(rng: np.random.Generator, container: Container) -> Container:
    """Returns a file one of whose layers is another, or whose size is."""
    chunks, header = list(container.layers), container.header
    place = int(rng.integers(len(chunks)))
    chunk, how = chunks[place], rng.integers(12)
    if how == 0:
        chunks[place] = Chunk(chunk.kind, scramble(rng, chunk.body))
    elif how == 1:
        chunks[place] = Chunk(pick(rng, _LAYER_KINDS), chunk.body)
    elif how == 2:
        chunks.append(chunk)
    elif how == 3:
        sides = (1, header.height - 1, header.width - 1, header.height, header.width, header.width + 1, 16384)
        header = replace(header, **{pick(rng, ("width", "height")): max(1, pick(rng, sides))})
    elif chunk.kind == AVIF_LAYER:
        chunks[place] = Chunk(chunk.kind, mutated_avif(rng, chunk.body))
    elif chunk.kind == COLOUR_LAYER:
        chunks[place] = Chunk(chunk.kind, mutated_tint(rng, chunk.body))
    elif chunk.kind == EXACT_LAYER:
        patches = list(read_layers([chunk], header.width, header.height).patches)
        patches = [mutated_patch(rng, patches[0]), *patches[1:]] if how < 11 else patches * int(rng.integers(2, 9))
        (chunks[place],) = write_layers(Layers(tuple(patches)))
    return replace(container, header=header, layers=tuple(chunks))


def mutated_patch(rng: np.random.Generator, patch: Patch) -> Patch:
    number = pick(rng, NUMBERS)
    sides = pick(rng, NUMBERS) - 1 & 0x3FFF | (number - 1 & 0x3FFF) << 14
    changes = (
        {"left": number},
        {"top": number},
        {"num_exact": number},
        {"num_exact": patch.num_exact + 1},
        {"bitstream": b"\x2f" + sides.to_bytes(4, "little") + patch.bitstream[5:]},
        {"bitstream": patch.bitstream[:5] + scramble(rng, patch.bitstream[5:])},
        {"bitstream": cut(rng, patch.bitstream)},
        {"bitstream": scramble(rng, patch.bitstream)},
    )
    return replace(patch, **pick(rng, changes))


def mutated_avif(rng: np.random.Generator, data: bytes) -> bytes:
    """Returns an AVIF file with another size, other boxes, or another stream: its beginning, or any of it."""
    size, stream = data.find(b"ispe") + 8, data.find(b"mdat") + 4
    how = rng.integers(5) if size > 8 and stream > 4 else 4
    if how == 0:
        sides = [pick(rng, NUMBERS).to_bytes(4, "big") for _ in range(2)]
        return data[:size] + b"".join(sides) + data[size + 8 :]
    if how == 1:
        return scramble(rng, data[:stream]) + data[stream:]
    if how == 2:
        head = stream + int(rng.integers(4, 24))
        return data[:stream] + scramble(rng, data[stream:head]) + data[head:]
    if how == 3:
        return data[:stream] + scramble(rng, data[stream:])
    return scramble(rng, data)


def mutated_tint(rng: np.random.Generator, body: bytes) -> bytes:
    how = rng.integers(4)
    if how == 0:
        place = int(rng.integers(5))
        return body[:place] + bytes([pick(rng, (0, 1, 2, 3, 4, 5, 6, 7, 8, 31, 32, 33, 100, 255))]) + body[place + 1 :]
    if how == 1:
        return cut(rng, body)
    if how == 2:
        return body[:5] + rng.bytes(int(rng.integers(1, len(body) + 8)))
    return body[:5] + scramble(rng, body[5:])


def mutated_metadata(rng: np.random.Generator, container: Container) -> Container:
    """Returns a file one of whose chunks of metadata is another, or is missing."""
    chunks, header = list(container.metadata), container.header
    place = int(rng.integers(len(chunks)))
    chunk, how = chunks[place], rng.integers(9)
    if how == 0:
        chunks[place] = Chunk(chunk.kind, scramble(rng, chunk.body))
    elif how == 1:
        chunks[place] = Chunk(pick(rng, _METADATA_KINDS), chunk.body)
    elif how == 2:
        chunks.append(chunk)
    elif how == 3:
        del chunks[place]
    elif how == 4:
        chunks[place] = Chunk(chunk.kind, chunk.body + rng.bytes(int(rng.integers(1, 5))))
    elif chunk.kind == ALPHA_CHUNK:
        chunks[place] = Chunk(chunk.kind, mutated_alpha(rng, chunk.body, header.width, header.height))
    elif rng.integers(50) == 0:
        chunks[place] = Chunk(chunk.kind, BOMB)
    else:
        chunks[place] = Chunk(chunk.kind, mutated_zlib(rng, chunk.body))
    return replace(container, metadata=tuple(chunks))


def mutated_zlib(rng: np.random.Generator, body: bytes) -> bytes:
    try:
        data = zlib.decompress(body)
    except zlib.error:
        data = body
    return zlib.compress(pick(rng, (data, b"", scramble(rng, data), cut(rng, data), rng.bytes(40))), int(rng.integers(10)))


def mutated_alpha(rng: np.random.Generator, body: bytes, width: int, height: int) -> bytes:
    """Returns an alpha plane of another size or kind, or a damaged one."""
    how = rng.integers(5)
    if how == 0:
        return body[:1] + scramble(rng, body[1:5]) + body[5:]
    if how == 1:
        return body[:5] + scramble(rng, body[5:])
    if how == 2:
        return encode_webp(rng.integers(0, 256, (max(1, height + int(rng.integers(-1, 2))), width, 3), np.uint8))
    out = BytesIO()
    mode = pick(rng, ("L", "L", "L", "1", "P", "LA", "RGB", "I;16"))
    Image.new(mode, (width, height)).save(out, "PNG")
    return out.getvalue() if how == 3 else mend_png(scramble(rng, out.getvalue()))
