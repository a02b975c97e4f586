"""A file for each case in which a reader refuses it; names and errors are those of the table in FORMAT.md, section 11."""

import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image

from tests.fuzz.files import assemble, mend
from vqcodec.coding.coders import raw_bits
from vqcodec.coding.tint import ColourLayer
from vqcodec.encoding.writing import write_file
from vqcodec.format.chunks import Chunk, chunks_bytes
from vqcodec.format.container import FORMAT_VERSION, MAGIC, PLAIN_VERSION, CoderKind, ColourMode, Container, map_size, read_container
from vqcodec.format.integers import varint_bytes
from vqcodec.format.layers import NO_LAYERS, Layers, Patch, write_layers
from vqcodec.images.layers import exact_patches
from vqcodec.images.picture import Picture
from vqcodec.images.webp import encode_webp
from vqcodec.models.model import Model

WIDTH, HEIGHT = 24, 16
_AVIF_OPTIONS: Final = {"quality": 30, "speed": 8, "subsampling": "4:4:4"}


class Samples:
    """Intact files of a model, as containers.

    Args:
        model: the model, which has a prior of the top map.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.pixels = np.arange(HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3)

    def file(self, picture: Picture, coder: CoderKind, num_maps: int = 1, layers: Layers = NO_LAYERS) -> Container:
        """Returns a file of maps of the codes 1, 2, 3, ..."""
        height, width = picture.pixels.shape[:2]
        sizes = [map_size(width, height, number) for number in range(num_maps)]
        maps = [np.arange(1, h * w + 1).reshape(h, w) % len(self.model.static_freqs[0]) for h, w in sizes]
        return read_container(write_file(picture, maps, self.model, coder, layers=layers))

    @property
    def noise(self) -> Image.Image:
        """A grey picture that no format makes small."""
        return Image.fromarray(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), np.uint8))

    @property
    def code_bits(self) -> int:
        """The bits of a code in a raw payload."""
        return raw_bits(len(self.model.static_freqs[0]))

    @cached_property
    def plain(self) -> Container:
        """RGB, one map, raw."""
        return self.file(Picture(self.pixels), CoderKind.RAW)

    @cached_property
    def metadata(self) -> Container:
        """RGBA with a profile, EXIF and XMP."""
        alpha = self.pixels[:, :, 0]
        return self.file(Picture(self.pixels, alpha, b"profile", b"II*\0\x08\0\0\0\0\0\0\0\0\0", b"<x/>"), CoderKind.RAW)

    @cached_property
    def patch(self) -> Patch:
        """A patch of 10 x 6 pixels at left 5, top 4, half of which are exact."""
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[4:10:2, 5:15] = mask[9, 14] = True
        (patch,) = exact_patches(self.pixels, mask)
        return patch

    def patched(self, *patches: Patch) -> bytes:
        """Returns a file with these patches."""
        return self.layered(*write_layers(Layers(patches)))

    def layered(self, *chunks: Chunk) -> bytes:
        """Returns a file with these layers."""
        return assemble(replace(self.plain, layers=chunks))

    def summed(self, *, stream: int = 0, codes: int = 0) -> bytes:
        """Returns a file of one tile group with checksums of it, which differ by these bits from the right ones."""
        container = self.file(Picture(self.pixels), CoderKind.PRIOR)
        (entry,) = container.header.maps
        body = struct.pack("<HH", entry.payload_crc ^ stream, entry.index_crc ^ codes)
        return assemble(replace(container, layers=(Chunk(b"gSUM", body),)))

    def tinted(self, *, head: bytes | None = None, stream: bytes | None = None) -> bytes:
        """Returns a file with a colour layer of another head or stream."""
        body = ColourLayer(4, 3, np.arange(1, 7).reshape(1, 2, 3) % 4).body
        return self.layered(Chunk(b"TINT", (body[:5] if head is None else head) + (body[5:] if stream is None else stream)))

    def avif(self, *, width: int = WIDTH, edit: Callable[[bytes], bytes] = bytes) -> bytes:
        """Returns a file with an AVIF layer that is another."""
        out = BytesIO()
        Image.fromarray(self.pixels).resize((width, HEIGHT)).save(out, "AVIF", **_AVIF_OPTIONS)
        return self.layered(Chunk(b"AVIF", edit(out.getvalue())))

    def told(self, **chunks: bytes | None) -> bytes:
        """Returns a file with other metadata; None leaves a chunk out."""
        kept = [Chunk(chunk.kind, chunks.pop(chunk.kind.decode(), chunk.body) or b"") for chunk in self.metadata.metadata]
        kept += [Chunk(kind.encode(), body) for kind, body in chunks.items() if body is not None]
        return assemble(replace(self.metadata, metadata=tuple(chunk for chunk in kept if chunk.body)))

    def coded(self, payload: bytes, coder: CoderKind, *, size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
        """Returns a file of one map with this payload."""
        header = self.plain.header
        maps = (replace(header.maps[0], coder=coder),)
        width, height = size
        return assemble(replace(self.plain, header=replace(header, maps=maps, width=width, height=height), payloads=(payload,)))

    def payload(self, coder: CoderKind, *, width: int = WIDTH) -> bytes:
        """Returns the intact payload of a map."""
        pixels = np.zeros((HEIGHT, width, 3), np.uint8)
        return self.file(Picture(pixels), coder).payloads[0]

    def sharpened(self, sharpness: bytes, version: bytes = bytes([FORMAT_VERSION])) -> bytes:
        """Returns the plain file with coder kind 3 and this sharpness."""
        (entry,) = self.plain.header.maps
        crcs = entry.payload_crc.to_bytes(2, "little") + entry.index_crc.to_bytes(2, "little")
        return self.with_fields(length_and_coder=varint_bytes(entry.num_bytes << 2 | 3), crcs=crcs + sharpness, version=version)

    def with_fields(self, **fields: bytes) -> bytes:
        """Returns the plain file with other bytes in fields of its header, and the right checksum."""
        header = self.plain.header
        (entry,) = header.maps
        own = {
            "magic": MAGIC,
            "version": bytes([header.version]),
            "layout": bytes([header.mode << 4]),
            "model": varint_bytes(header.model_number),
            "weights": header.weights_digest,
            "width": varint_bytes(header.width),
            "height": varint_bytes(header.height),
            "length_and_coder": varint_bytes(entry.num_bytes << 2 | entry.coder),
            "crcs": entry.payload_crc.to_bytes(2, "little") + entry.index_crc.to_bytes(2, "little"),
            "region": b"",
        }
        head = b"".join((own | fields).values())
        return head + zlib.crc32(head).to_bytes(4, "little") + self.plain.payloads[0]


def _png(image: Image.Image) -> bytes:
    out = BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _half_transparent(samples: Samples) -> bytes:
    pixels = np.dstack([samples.pixels, np.full((HEIGHT, WIDTH), 200, np.uint8)])
    return samples.patched(Patch(0, 0, 1, encode_webp(pixels)))


def _without_picture(avif: bytes) -> bytes:
    """Returns an AVIF file whose stream states its size, and has padding in place of its frame."""
    header = avif.index(b"\x12\x00\x0a") + 3
    frame = header + 1 + avif[header]
    return avif[:frame] + avif[frame:].replace(b"\x32", b"\x7a", 1)


def _large_offset(samples: Samples) -> bytes:
    offsets = np.zeros((1, 2, 3), np.int64)
    offsets[0, 0] = 62, 31, 31
    return samples.layered(Chunk(b"TINT", ColourLayer(4, 1, offsets).body))


def _unexpected_alpha(samples: Samples) -> bytes:
    header = replace(samples.metadata.header, mode=ColourMode.RGB)
    return assemble(replace(samples.metadata, header=header))


def _flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def _in_layers(samples: Samples, chunks: Iterable[Chunk], edit: Callable[[bytes], bytes]) -> bytes:
    """Returns a file whose layers are the bytes of chunks, edited."""
    region = edit(chunks_bytes(chunks))
    layout = bytes([0x80 | samples.plain.header.mode << 4])
    whole = samples.with_fields(layout=layout, region=varint_bytes(len(region)))
    size = len(whole) - len(samples.plain.payloads[0])
    return whole[:size] + region + whole[size:]


def _code_too_large(samples: Samples) -> bytes:
    return samples.coded(b"\xff" * samples.code_bits, CoderKind.RAW, size=(32, 16))


_SPARE: Final = Chunk(b"qqqq", b"spare")
_VARINT_OF_2_BYTES: Final = b"\x98\x00"

CASES: Final[dict[str, tuple[str, Callable[[Samples], bytes]]]] = {
    "empty": ("BadMagicError", lambda s: b""),
    "other-magic": ("BadMagicError", lambda s: s.with_fields(magic=b"\x89PN")),
    "other-version": ("UnsupportedVersionError", lambda s: s.with_fields(version=bytes([FORMAT_VERSION + 1]))),
    "header-cut": ("TruncatedError", lambda s: assemble(s.plain)[:12]),
    "varint-not-shortest": ("FormatError", lambda s: s.with_fields(width=_VARINT_OF_2_BYTES)),
    "varint-too-long": ("FormatError", lambda s: s.with_fields(width=b"\x98\x80\x80\x80\x01")),
    "header-damaged": ("ChecksumMismatchError", lambda s: _flipped(assemble(s.plain), 6)),
    "side-of-zero": ("FormatError", lambda s: s.with_fields(width=b"\0")),
    "side-too-long": ("FormatError", lambda s: s.with_fields(width=varint_bytes((1 << 20) + 1), height=b"\x01")),
    "too-many-pixels": ("LimitExceededError", lambda s: s.with_fields(width=varint_bytes(1 << 20), height=varint_bytes(129))),
    "sharpened-in-old-version": ("FormatError", lambda s: s.sharpened(b"", bytes([PLAIN_VERSION]))),
    "sharpness-of-zero": ("FormatError", lambda s: s.sharpened(b"\0")),
    "sharpness-of-none": ("FormatError", lambda s: s.sharpened(b"\x10")),
    "payload-too-long": ("LimitExceededError", lambda s: s.with_fields(length_and_coder=varint_bytes(((1 << 30) + 1) << 2))),
    "layers-of-no-length": ("FormatError", lambda s: s.with_fields(layout=b"\x90", region=b"\0")),
    "metadata-of-no-length": ("FormatError", lambda s: s.with_fields(layout=b"\x50", region=b"\0")),
    "model-unknown": ("UnknownModelError", lambda s: s.with_fields(model=varint_bytes(999))),
    "weights-unknown": ("WeightsMismatchError", lambda s: s.with_fields(weights=b"\0\1\2\3")),
    "more-maps-than-the-model": (
        "FormatError",
        lambda s: assemble(replace(s.plain, header=replace(s.plain.header, maps=s.plain.header.maps * 5), payloads=s.plain.payloads * 5)),
    ),
    "cut": ("TruncatedError", lambda s: assemble(s.plain)[:-1]),
    "bytes-after-the-end": ("FormatError", lambda s: assemble(s.plain) + b"\0"),
    "payload-damaged": ("ChecksumMismatchError", lambda s: _flipped(assemble(s.plain), -2)),
    "chunk-damaged": ("ChecksumMismatchError", lambda s: _in_layers(s, [_SPARE], lambda region: _flipped(region, 7))),
    "chunk-of-no-letters": ("FormatError", lambda s: mend(_in_layers(s, [_SPARE], lambda region: region.replace(b"qqqq", b"q?qq")))),
    "chunk-cut": ("TruncatedError", lambda s: _in_layers(s, [_SPARE], lambda region: region[:-5])),
    "chunk-too-long": (
        "LimitExceededError",
        lambda s: _in_layers(s, [_SPARE], lambda region: region[:4] + varint_bytes((1 << 30) + 1) + region[5:]),
    ),
    "chunk-twice": ("FormatError", lambda s: s.layered(_SPARE, _SPARE)),
    "chunk-unknown": ("FormatError", lambda s: s.layered(Chunk(b"QQQQ", b""))),
    "raw-of-wrong-length": ("DesyncError", lambda s: s.coded(s.payload(CoderKind.RAW) + b"\0", CoderKind.RAW)),
    "raw-with-unused-bits": ("DesyncError", lambda s: s.coded(b"\xff" * -(-s.code_bits // 8), CoderKind.RAW, size=(8, 8))),
    "stream-ends-with-zero": ("DesyncError", lambda s: s.coded(s.payload(CoderKind.STATIC) + b"\0", CoderKind.STATIC)),
    "stream-left-over": ("DesyncError", lambda s: s.coded(b"\x55" * 40, CoderKind.STATIC)),
    "prior-stream-left-over": ("DesyncError", lambda s: s.coded(b"\x55" * 40, CoderKind.PRIOR)),
    "group-longer-than-payload": ("DesyncError", lambda s: s.coded(b"\x7f", CoderKind.PRIOR, size=(600, 8))),
    "other-codes": ("DesyncError", lambda s: s.coded(s.payload(CoderKind.RAW)[::-1], CoderKind.RAW)),
    "exact-empty": ("FormatError", lambda s: s.layered(Chunk(b"EXCT", b""))),
    "exact-cut": ("TruncatedError", lambda s: s.layered(Chunk(b"EXCT", write_layers(Layers((s.patch,)))[0].body[:-1]))),
    "exact-outside": ("FormatError", lambda s: s.patched(replace(s.patch, left=WIDTH - 9))),
    "exact-of-no-pixels": ("FormatError", lambda s: s.patched(replace(s.patch, num_exact=0))),
    "exact-of-other-pixels": ("FormatError", lambda s: s.patched(replace(s.patch, num_exact=s.patch.num_exact + 1))),
    "exact-no-bitstream": ("FormatError", lambda s: s.patched(replace(s.patch, bitstream=b"\x30" + s.patch.bitstream[1:]))),
    "exact-damaged": ("FormatError", lambda s: s.patched(replace(s.patch, bitstream=s.patch.bitstream[:7]))),
    "exact-half-transparent": ("FormatError", _half_transparent),
    "exact-too-many": ("LimitExceededError", lambda s: s.patched(*[s.patch] * 7)),
    "avif-of-other-size": ("FormatError", lambda s: s.avif(width=WIDTH + 1)),
    "avif-of-other-boxes": ("FormatError", lambda s: s.avif(edit=lambda data: data.replace(b"ftyp", b"free", 1).replace(b"mdat", b"moov"))),
    "avif-cut": ("FormatError", lambda s: s.avif(edit=lambda data: data[:-20])),
    "avif-damaged": ("FormatError", lambda s: s.avif(edit=_without_picture)),
    "group-damaged": ("ChecksumMismatchError", lambda s: s.summed(stream=1)),
    "group-of-other-codes": ("DesyncError", lambda s: s.summed(codes=1)),
    "sums-of-other-groups": ("FormatError", lambda s: s.layered(Chunk(b"gSUM", bytes(4)))),
    "tint-cut": ("FormatError", lambda s: s.tinted(head=b"\x04\x03\x09\x09", stream=b"")),
    "tint-of-other-cells": ("FormatError", lambda s: s.tinted(head=b"\x03\x03\x09\x09\x09")),
    "tint-of-other-step": ("FormatError", lambda s: s.tinted(head=b"\x04\x21\x09\x09\x09")),
    "tint-of-no-decay": ("FormatError", lambda s: s.tinted(head=b"\x04\x03\x09\x00\x09")),
    "tint-left-over": ("DesyncError", lambda s: s.tinted(stream=b"\x55" * 40)),
    "tint-offset-too-large": ("FormatError", _large_offset),
    "alpha-missing": ("FormatError", lambda s: s.told(ALPH=None)),
    "alpha-unexpected": ("FormatError", _unexpected_alpha),
    "alpha-of-other-size": ("FormatError", lambda s: s.told(ALPH=encode_webp(s.pixels[1:]))),
    "alpha-no-picture": ("FormatError", lambda s: s.told(ALPH=b"GIF89a")),
    "alpha-of-other-mode": ("FormatError", lambda s: s.told(ALPH=_png(Image.new("P", (WIDTH, HEIGHT))))),
    "alpha-damaged": ("FormatError", lambda s: s.told(ALPH=_png(s.noise)[:-80])),
    "zlib-damaged": ("FormatError", lambda s: s.told(xMPP=b"no zlib")),
    "zlib-followed": ("FormatError", lambda s: s.told(xMPP=zlib.compress(b"<x/>") + b"\0")),
    "zlib-cut": ("FormatError", lambda s: s.told(xMPP=zlib.compress(b"<x/>")[:-1])),
    "zlib-too-large": ("FormatError", lambda s: s.told(iCCP=zlib.compress(bytes((16 << 20) + 1), 9))),
}
"""Error and file of each case that can occur with any model."""

CASES_OF_SMALL_MODELS: Final[dict[str, tuple[str, Callable[[Samples], bytes]]]] = {
    "raw-code-too-large": ("DesyncError", _code_too_large),
    "prior-missing": ("DesyncError", lambda s: s.coded(s.payload(CoderKind.STATIC), CoderKind.PRIOR)),
}
"""The same of cases that take a model without priors, the number of whose codes is no power of two."""
