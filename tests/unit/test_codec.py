"""Images to files and back, with a small private model."""

import json
import math
import mmap
import os
import re
import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageCms

import vqcodec
from tests.conftest import make_picture
from vqcodec.cli import main
from vqcodec.decoding import check_indices
from vqcodec.errors import DesyncError, FormatError, ModelError, TruncatedError, UnknownModelError, WeightsMismatchError
from vqcodec.format.container import Chunk, ColourMode, chunks_length, read_container, write_container
from vqcodec.models.config import read_config
from vqcodec.models.registry import DEFAULT_MODEL

SIZES = [(1, 1), (1, 300), (300, 1), (17, 23), (255, 257), (768, 512)]
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("size", SIZES)
def test_size_and_mode_come_back(small_model: str, size: tuple[int, int], mode: str) -> None:
    image = Image.fromarray(make_picture(*size)).convert(mode)
    decoded = vqcodec.decode(vqcodec.encode(image, model=small_model))
    assert (decoded.size, decoded.mode) == (size, mode)


def test_alpha_is_lossless_and_profile_is_kept(small_model: str) -> None:
    image = Image.fromarray(make_picture(40, 30)).convert("RGBA")
    alpha = make_picture(40, 30, seed=5)[:, :, 0]
    image.putalpha(Image.fromarray(alpha))
    image.info["icc_profile"] = PROFILE
    decoded = vqcodec.decode(vqcodec.encode(image, model=small_model))
    assert np.array_equal(np.asarray(decoded)[:, :, 3], alpha)
    assert decoded.info["icc_profile"] == PROFILE


def test_same_image_same_bytes(small_model: str) -> None:
    image = make_picture(90, 70)
    assert vqcodec.encode(image, model=small_model) == vqcodec.encode(image.copy(), model=small_model)


def test_batch_of_mixed_sizes_keeps_the_order(small_model: str) -> None:
    images = [make_picture(40, 30, seed) if seed % 2 else make_picture(33, 50, seed) for seed in range(5)]
    files = vqcodec.encode_batch(images, model=small_model, batch_size=2)
    singles = [vqcodec.encode(image, model=small_model) for image in images]
    assert [vqcodec.read_info(data).width for data in files] == [33, 40, 33, 40, 33]
    pictures = vqcodec.decode_batch(files, batch_size=3)
    for picture, single in zip(pictures, singles, strict=True):
        difference = np.asarray(picture).astype(int) - np.asarray(vqcodec.decode(single)).astype(int)
        assert np.abs(difference).mean() < 1.0


def test_batches_of_nothing_are_refused(small_model: str) -> None:
    data = vqcodec.encode(make_picture(24, 24), model=small_model)
    with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
        vqcodec.encode_batch([make_picture(24, 24)], model=small_model, batch_size=0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
        vqcodec.encode_batch([make_picture(24, 24)], model=small_model, max_bytes=500, batch_size=0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, not -1"):
        vqcodec.decode_batch([data], batch_size=-1)


def test_arguments_of_other_types_are_told(small_model: str) -> None:
    data = vqcodec.encode(make_picture(24, 24), model=small_model)
    for values, message in [
        ({"max_maps": 1.5}, "max_maps must be a whole number, not 1.5"),
        ({"max_maps": True}, "max_maps must be a whole number, not True"),
        ({"realism": "1"}, "realism must be a number, not '1'"),
        ({"batch_size": 2.5}, "batch_size must be a whole number, not 2.5"),
    ]:
        with pytest.raises(TypeError, match=message):
            vqcodec.decode_batch([data], **values)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="images must be a list of images, not one"):
        vqcodec.encode_batch(make_picture(16, 16), model=small_model)
    stacked = vqcodec.encode_batch(np.stack([make_picture(16, 16)] * 2), model=small_model)
    assert stacked == [vqcodec.encode(make_picture(16, 16), model=small_model)] * 2


def test_any_bytes_can_be_decoded(small_model: str) -> None:
    data = vqcodec.encode(Image.fromarray(make_picture(24, 24)).convert("RGBA"), model=small_model)
    expected = vqcodec.decode(data).tobytes()
    mapped = mmap.mmap(-1, len(data))
    mapped.write(data)
    for other in (bytearray(data), memoryview(data), mapped):
        assert vqcodec.decode(other).tobytes() == expected  # type: ignore[arg-type]
        assert vqcodec.read_info(other) == vqcodec.read_info(data)  # type: ignore[arg-type]


def test_grey_is_the_rounded_mean_of_the_decoders_colours(small_model: str) -> None:
    grey = make_picture(24, 24)[:, :, 0]
    data = vqcodec.encode(grey, model=small_model)
    coloured = np.asarray(vqcodec.decode(rewrite(data, mode=ColourMode.RGB)))
    assert np.array_equal(np.asarray(vqcodec.decode(data)), np.rint(coloured.mean(axis=2)).astype(np.uint8))


def test_index_maps_are_those_of_the_network(small_model: str) -> None:
    data = vqcodec.encode(make_picture(64, 48), model=small_model, quality=100)
    maps = vqcodec.decode_indices(data)
    assert [level.shape for level in maps] == [(6, 8), (12, 16), (12, 16), (12, 16)]
    check_indices(data, maps)
    maps[2][0, 0] ^= 1
    with pytest.raises(DesyncError, match="other codes"):
        check_indices(data, maps)


def test_a_higher_quality_is_larger_and_better(small_model: str) -> None:
    image = make_picture(80, 80)
    errors, sizes = [], []
    for quality in (25, 50, 75, 100):
        data = vqcodec.encode(image, model=small_model, quality=quality)
        sizes.append(len(data))
        errors.append(np.square(np.asarray(vqcodec.decode(data)).astype(int) - image).mean())
    assert sizes == sorted(sizes) and errors == sorted(errors, reverse=True)
    for bad in (0, 101):
        with pytest.raises(ValueError, match="1..100"):
            vqcodec.encode(image, model=small_model, quality=bad)


def test_max_maps_equals_a_file_with_fewer_maps(small_model: str) -> None:
    image = make_picture(80, 80)
    whole = vqcodec.encode(image, model=small_model, quality=100)
    part = vqcodec.encode(image, model=small_model, quality=50)
    assert vqcodec.decode(whole, max_maps=2).tobytes() == vqcodec.decode(part).tobytes()
    with pytest.raises(ValueError, match="max_maps"):
        vqcodec.decode(whole, max_maps=0)


def test_cut_file_is_a_coarser_picture_when_asked(small_model: str) -> None:
    image = Image.fromarray(make_picture(80, 80)).convert("RGBA")
    data = vqcodec.encode(image, model=small_model, quality=100)
    container = read_container(data)
    end_of_second = len(data) - container.header.chunks_bytes - sum(len(payload) for payload in container.payloads[2:])
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
    """The file with header fields or chunks changed and all checksums right: what only a wrong writer makes."""
    container = read_container(data)
    chunks = changes.pop("chunks", container.chunks)
    header = replace(container.header, chunks_bytes=chunks_length(chunks), **changes)  # type: ignore[arg-type]
    return write_container(replace(container, header=header, chunks=chunks))  # type: ignore[arg-type]


def test_files_that_only_a_wrong_writer_makes(small_model: str) -> None:
    rgb = vqcodec.encode(make_picture(24, 24), model=small_model)
    rgba = vqcodec.encode(Image.fromarray(make_picture(24, 24)).convert("RGBA"), model=small_model)
    alpha = read_container(rgba).chunks[0]
    header = read_container(rgb).header
    cases = [
        (rewrite(rgb, chunks=(alpha,)), FormatError, "with an alpha plane"),
        (rewrite(rgba, chunks=()), FormatError, "without an alpha plane"),
        (rewrite(rgba, chunks=(alpha, alpha)), FormatError, "occurs twice"),
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


def test_unknown_model_names_those_installed(small_model: str) -> None:
    with pytest.raises(UnknownModelError, match="small-test"):
        vqcodec.encode(make_picture(8, 8), model="photo-v999")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"id": None}, "id must be text, not None"),
        ({"id": ["a"]}, "id must be text, not ['a']"),
        ({"number": 0}, "number must be a whole number in 1..268435455, not 0"),
        ({"number": 1 << 40}, "number must be"),
        ({"parameters": "x"}, "parameters must be a whole number of at least 0, not 'x'"),
        ({"priors": [5]}, "priors must be a table, not 5"),
        ({"priors": None}, "priors must be a list, not None"),
        ({"network": 5}, "network must be a table, not 5"),
        ({"network": {"num_refinements": "2"}}, "num_refinements must be a whole number in 0..14, not '2'"),
        ({"parameters": 10**400}, "parameters must be a whole number of at least 0, not 10"),
        ({"perceptual_extra_blocks": math.inf}, "perceptual_extra_blocks must be a whole number of at least 0, not inf"),
        ({"perceptual_extra_blocks": "3"}, "perceptual_extra_blocks"),
        ({"perceptual_sha256": "zz"}, "perceptual_sha256 must have 64 hexadecimal digits"),
        ({"id": "../x"}, "id must be letters, digits"),
        ({"id": "a\nb"}, "id must be letters, digits"),
        ({"dial": [[math.inf, 1]] * 100}, "dial must have points of maps, at least 1, and lambda in 0..1e+06, not [inf, 1]"),
        ({"dial": [[5, 1]] * 100}, "dials must have points of 1..4 maps"),
        ({"weights_sha256": "00"}, "weights_sha256 must have 64 hexadecimal digits"),
        ({"top_max_rate_weight": 0}, "top_max_rate_weight must be above 0"),
        ({"dial": [[1, 2.0]]}, "dial must have 100 points, not 1"),
        ({"dial": {}}, "dial must be a list, not {}"),
    ],
)
def test_model_configs_with_mistakes(models_root: Path, tmp_path: Path, values: dict[str, object], message: str) -> None:
    good = json.loads((models_root / "small-test" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(good | values))
    with pytest.raises(ModelError, match=re.escape(message)):
        read_config(tmp_path)


def test_a_network_that_its_config_does_not_fit(models_root: Path, tmp_path: Path) -> None:
    good = json.loads((models_root / "small-test" / "config.json").read_text())
    shutil.copy(models_root / "small-test" / "weights.safetensors", tmp_path)
    for channels, message in (
        (0, "config.json: not a model config: channels must be"),
        (16, "weights.safetensors: does not fit config.json"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**good, "network": {**good["network"], "channels": channels}}))
        with pytest.raises(ModelError, match=message) as raised:
            vqcodec.encode(make_picture(24, 24), model=tmp_path)
        assert len(str(raised.value)) < 500 and "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["{}", 5000 * "[", "[1]", "\x00"])
def test_a_broken_model_folder_is_named_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text(text)
    monkeypatch.setenv("VQCODEC_MODELS", str(tmp_path))
    result = CliRunner().invoke(main, ["models"])
    assert result.exit_code == 0 and DEFAULT_MODEL in result.stdout and "broken" not in result.stdout
    assert len(result.stderr.splitlines()) == 1 and "broken/config.json: not a model config" in result.stderr


def test_folders_without_models_are_told(tmp_path: Path, models_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty, model = tmp_path / "empty", models_root / "small-test"
    monkeypatch.setenv("VQCODEC_MODELS", os.pathsep.join([str(empty), str(model)]))
    lines = CliRunner().invoke(main, ["models"]).stderr.splitlines()
    assert [line.split(", ")[0] for line in lines] == [f"vqcodec: left out: {empty}", f"vqcodec: left out: {model}"]
    assert all(line.endswith("named by VQCODEC_MODELS: expected a folder of model folders") for line in lines)


def test_files_of_a_hidden_model_are_decoded(tmp_path: Path, models_root: Path, small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = vqcodec.encode(make_picture(24, 24), model=small_model)
    shutil.copytree(models_root / "small-test", tmp_path / "small-test")
    config = tmp_path / "small-test" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "weights_sha256": 64 * "0"}))
    monkeypatch.setenv("VQCODEC_MODELS", os.pathsep.join([str(tmp_path), str(models_root)]))
    assert vqcodec.decode(data).size == (24, 24) and vqcodec.read_info(data).model == "small-test"
