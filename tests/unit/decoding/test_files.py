"""Checks the decoding of files: whole, cut, with fewer maps, and made by a wrong writer."""

import mmap
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import vqcodec
from tests.conftest import make_picture
from vqcodec.decoding.files import check_indices, open_file
from vqcodec.errors import DesyncError, FormatError, TruncatedError, UnknownModelError, WeightsMismatchError
from vqcodec.format.chunks import Chunk, chunks_length
from vqcodec.format.container import ColourMode, read_container, write_container
from vqcodec.format.layers import Layers, write_layers
from vqcodec.images.layers import exact_patches


def test_any_bytes_can_be_decoded(small_model: str) -> None:
    data = vqcodec.encode(np.dstack([make_picture(24, 24), np.full((24, 24), 254, np.uint8)]), model=small_model)
    expected = vqcodec.decode(data).tobytes()
    mapped = mmap.mmap(-1, len(data))
    mapped.write(data)
    for other in (bytearray(data), memoryview(data), mapped, np.frombuffer(data, np.uint8)[None]):
        assert vqcodec.decode(other).tobytes() == expected  # type: ignore[arg-type]
        assert vqcodec.read_info(other) == vqcodec.read_info(data)  # type: ignore[arg-type]
        assert open_file(other).num_bytes == len(data)  # type: ignore[arg-type]


def test_grey_is_the_rounded_mean_of_the_decoders_colours(small_model: str) -> None:
    grey = make_picture(24, 24)[:, :, 0]
    data = vqcodec.encode(grey, model=small_model)
    coloured = np.asarray(vqcodec.decode(rewrite(data, mode=ColourMode.RGB)))
    assert np.array_equal(np.asarray(vqcodec.decode(data)), np.rint(coloured.mean(axis=2)).astype(np.uint8))


def test_index_maps_are_those_of_the_network(small_model: str) -> None:
    data = vqcodec.encode(make_picture(64, 48), model=small_model, quality=100)
    maps = vqcodec.decode_indices(data)
    assert [indices.shape for indices in maps] == [(6, 8), (12, 16), (12, 16), (12, 16)]
    check_indices(data, maps)
    maps[2][0, 0] ^= 1
    with pytest.raises(DesyncError, match="other codes"):
        check_indices(data, maps)


def test_max_maps_equals_a_file_with_fewer_maps(small_model: str) -> None:
    image = make_picture(80, 80)
    whole = vqcodec.encode(image, model=small_model, quality=100)
    part = vqcodec.encode(image, model=small_model, quality=50, layers=False)
    assert vqcodec.decode(whole, max_maps=2).tobytes() == vqcodec.decode(part).tobytes()
    with pytest.raises(ValueError, match="max_maps"):
        vqcodec.decode(whole, max_maps=0)


def test_cut_file_is_a_coarser_picture_when_asked(small_model: str) -> None:
    image = Image.fromarray(make_picture(80, 80))
    image.putalpha(254)
    data = vqcodec.encode(image, model=small_model, quality=100)
    container = read_container(data)
    end_of_second = len(data) - container.header.metadata_bytes - sum(len(payload) for payload in container.payloads[2:])
    with pytest.raises(TruncatedError):
        vqcodec.decode(data[:end_of_second])
    cut = vqcodec.decode(data[: end_of_second + 3], allow_truncated=True)
    assert cut.mode == "RGBA" and np.asarray(cut)[:, :, 3].min() == 255
    assert np.array_equal(np.asarray(cut)[:, :, :3], np.asarray(vqcodec.decode(data, max_maps=2))[:, :, :3])


def test_grey_decodes_to_grey_levels_of_the_original(small_model: str) -> None:
    grey = make_picture(64, 64)[:, :, 0]
    decoded = np.asarray(vqcodec.decode(vqcodec.encode(grey, model=small_model, quality=100)))
    assert decoded.ndim == 2
    assert np.abs(decoded.astype(int) - grey).mean() < 15


def rewrite(data: bytes, **changes: object) -> bytes:
    """Returns the file with header fields or chunks changed and all checksums right, as only a wrong writer makes it."""
    container = read_container(data)
    chunks = changes.pop("chunks", container.metadata)
    header = replace(container.header, metadata_bytes=chunks_length(chunks), **changes)  # type: ignore[arg-type]
    return write_container(replace(container, header=header, metadata=chunks))  # type: ignore[arg-type]


def test_files_that_only_a_wrong_writer_makes(small_model: str) -> None:
    rgb = vqcodec.encode(make_picture(24, 24), model=small_model)
    rgba = vqcodec.encode(np.dstack([make_picture(24, 24), np.full((24, 24), 254, np.uint8)]), model=small_model)
    alpha = read_container(rgba).metadata[0]
    header = read_container(rgb).header
    cases = [
        (rewrite(rgb, chunks=(alpha,)), FormatError, "with an alpha plane"),
        (rewrite(rgba, chunks=()), FormatError, "without an alpha plane"),
        (rewrite(rgba, chunks=(alpha, alpha)), FormatError, "occur twice"),
        (rewrite(rgb, chunks=(Chunk(b"NEWX", b""),)), FormatError, "unknown type NEWX"),
        (rewrite(rgb, chunks=(Chunk(b"iCCP", b"??"),)), FormatError, "colour profile cannot"),
        (rewrite(rgb, chunks=(Chunk(b"iCCP", zlib.compress(bytes(17 << 20))),)), FormatError, "larger than"),
        (rewrite(rgb, width=25, height=25), DesyncError, "static payload|raw payload|other codes"),
        (rewrite(rgb, model_number=4711), UnknownModelError, "4711"),
        (rewrite(rgb, weights_digest=b"abcd"), WeightsMismatchError, "61626364"),
        (rewrite(rgb, maps=tuple(replace(entry, index_crc=1) for entry in header.maps)), DesyncError, "other codes"),
    ]
    for data, error, message in cases:
        with pytest.raises(error, match=message):
            vqcodec.decode(data)
    assert vqcodec.decode(rewrite(rgb, chunks=(Chunk(b"newx", b"?"),))).size == (24, 24)


def test_patches_that_overlap_do_not_hide_the_codes(small_model: str) -> None:
    """Patches of as many pixels as the picture cover it only if they do not overlap."""
    image = make_picture(24, 16)
    container = read_container(vqcodec.encode(image, model=small_model, quality=50, layers=False))
    (half,) = exact_patches(image[:, :12], np.ones((16, 12), bool))
    painted = np.asarray(vqcodec.decode(write_container(container)))
    for lefts in [(0, 0), (0, 12)]:
        layers = write_layers(Layers(tuple(replace(half, left=left) for left in lefts)))
        header = replace(container.header, layers_bytes=chunks_length(layers))
        decoded = np.asarray(vqcodec.decode(write_container(replace(container, header=header, layers=layers))))
        assert np.array_equal(decoded[:, :12], image[:, :12])
        assert np.array_equal(decoded[:, 12:], painted[:, 12:] if lefts == (0, 0) else image[:, :12])
