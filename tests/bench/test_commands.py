"""The parts that the project's own benchmark commands are made of."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from click.testing import CliRunner
from PIL import Image

import vqcodec
from bench import colour, images, rd, semantics, speed
from bench.__main__ import main
from bench.colour import colour_errors, nearest_in_size
from bench.images import image_set
from bench.model import run_model
from bench.photos import write_photos
from bench.semantics import SIDE_PX, Classifier, square
from bench.speed import floor, folder, start, warm
from bench.speed.stages import measure_stages
from vqcodec.errors import VqcodecError
from vqcodec.images.picture import Picture, read_picture
from vqcodec.models.config import read_config
from vqcodec.models.dial import OperatingPoint
from vqcodec.models.model import load_model

ESPRESSO, CUP = 967, 968
"""ImageNet classes of a photo of coffee."""


@pytest.mark.skipif(importlib.util.find_spec("efficientnet_lite_pytorch") is None, reason="efficientnet-lite-pytorch is not installed")
def test_the_classifier_knows_coffee() -> None:
    classifier = Classifier.load()
    pixels = square(skimage.data.coffee())
    assert pixels.shape == (SIDE_PX, SIDE_PX, 3)
    assert classifier.top_1(pixels) in (ESPRESSO, CUP)
    assert classifier.top_1(np.full_like(pixels, 128)) not in (ESPRESSO, CUP)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("efficientnet_lite_pytorch") is None, reason="efficientnet-lite-pytorch is not installed")
def test_agreement_is_measured_once_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semantics, "RESULTS", tmp_path)
    monkeypatch.setattr(semantics, "CODECS", ("jpeg", "webp"))
    monkeypatch.setattr(semantics, "HELD_OUT", tmp_path / "absent")
    semantics.run_semantics(None, tmp_path)
    target = tmp_path / "semantics-wheels.json"
    first = json.loads(target.read_text(encoding="utf-8"))
    assert {row["codec"] for row in first["rows"]} == {"jpeg", "webp"} and first["count"] == 6
    best = [row for row in first["rows"] if row["codec"] == "jpeg"][-1]
    assert best["bpp"] > 1 and best["top_1_agreement"] >= 0.5
    runs = {**first["runs"], "webp": {**first["runs"]["webp"], "version": "older"}}
    marked = {**first, "runs": runs, "rows": [{**row, "top_1_agreement": -1} for row in first["rows"]]}
    target.write_text(json.dumps(marked), encoding="utf-8")
    semantics.run_semantics(None, tmp_path)
    again = json.loads(target.read_text(encoding="utf-8"))
    assert again["runs"] == first["runs"]
    for row, before in zip(again["rows"], first["rows"], strict=True):
        assert row == ({**before, "top_1_agreement": -1} if row["codec"] == "jpeg" else before)


def test_image_sets(tmp_path: Path) -> None:
    assert [path.stem for path in image_set("wheels", tmp_path)] == ["astronaut", "chelsea", "china", "coffee", "flower", "rocket"]
    with pytest.raises(VqcodecError, match="not a folder"):
        image_set(str(tmp_path / "absent"), tmp_path)


@pytest.mark.slow
def test_stages_are_parts_of_the_whole(models_root: Path, photo: np.ndarray) -> None:
    model = load_model(read_config(models_root / "small-test"), "cpu")
    stages = measure_stages(Picture(photo), model, OperatingPoint(2, 0.1))
    assert "decoder network" in stages["decode"] and set(stages["encode"]) >= {"encoder network", "priors", "frequencies", "coder"}
    for of in stages.values():
        assert min(of.values()) >= 0, "a stage that contains another is counted twice, and leaves less than nothing for the others"


def test_products_are_counted_by_what_they_are_for(models_root: Path) -> None:
    model, point = load_model(read_config(models_root / "small-test"), "cpu"), OperatingPoint(2, 0.1)
    wide = np.ascontiguousarray(skimage.data.chelsea()[100:164, 100:228])
    codes, pixels, encoding = floor.count_products(Picture(wide), model, point)
    of_half = floor.count_products(Picture(np.ascontiguousarray(wide[:, :64])), model, point)
    assert codes > 1.9 * of_half[0] and pixels == pytest.approx(2 * of_half[1])
    assert encoding > codes + of_half[2] > 2 * of_half[0], "encoding walks as decoding does, and runs networks beside"


def test_warm_functions_are_measured_beside_another_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "ROUNDS", 1)
    monkeypatch.setattr(warm, "QUALITIES", (1,))
    Image.new("RGB", (40, 24), "teal").save(tmp_path / "photo.png")
    rows = warm.measure_warm(tmp_path, warm.ROOT)
    assert [(row["verb"], row["quality"]) for row in rows] == [("encode", 1), ("decode", 1)]
    assert all(row["seconds"] > 0 and row["other_seconds"] > 0 for row in rows)


def test_parts_of_speed_are_measured_alone(tmp_path: Path, models_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "RESULTS", tmp_path)
    monkeypatch.setattr(speed, "measure_batches", lambda model: ["batches of", model.config.id])
    monkeypatch.setattr(speed, "measure_naive", lambda model: pytest.fail("a part that was not asked for"))
    model = read_config(models_root / "small-test")
    target = tmp_path / f"speed-{model.id}.json"
    identity = {"model": model.id, "weights_sha256": model.weights_sha256, "perceptual_sha256": model.perceptual_sha256}
    before = {**identity, "about": {"naive": {"date": "then"}}, "naive": "kept", "batches": "old"}
    for of, kept in ((before, "kept"), ({**before, "weights_sha256": "of another model"}, None)):
        target.write_text(json.dumps(of), encoding="utf-8")
        speed.run_speed(str(model.folder), None, ["batches"])
        result = json.loads(target.read_text(encoding="utf-8"))
        assert result.items() >= identity.items() and result.get("naive") == kept
        assert result["batches"] == ["batches of", model.id] and result["about"].keys() == ({"naive", "batches"} if kept else {"batches"})


def test_published_curves_have_sources_and_rise() -> None:
    curves = rd.read_published()
    assert {"BPG 4:4:4", "VTM", "mbt2018", "Control-GIC, backbone not stated"} <= {curve.name for curve in curves}
    for curve in curves:
        assert curve.source and [point.bpp for point in curve.points] == sorted(point.bpp for point in curve.points)
    with_psnr = [point.psnr_db for point in curves[0].points if point.psnr_db is not None]
    assert with_psnr and min(with_psnr) > 20


def test_every_command_has_a_line_of_help() -> None:
    commands = CliRunner().invoke(main, ["--help"]).stdout.split("Commands:\n")[1].splitlines()
    assert commands and all(line.endswith(".") and not line.endswith("...") for line in commands)


def test_commands_start_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "RUNS", 1)
    monkeypatch.setattr(start, "SIZE", (64, 48))
    rows = {row["command"]: row for row in start.measure_start(tmp_path, start.ROOT)}
    assert {"import vqcodec", "decode FILE", "encode PICTURE"} < rows.keys()
    assert all(row["seconds"] > 0 and row["other_seconds"] > 0 and 30 < row["modules"] for row in rows.values())
    assert not any(rows[command]["torch"] for command in ("import vqcodec", "--version", "--help", "info FILE"))


def test_folders_are_measured_beside_another_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "RUNS", 1)
    monkeypatch.setattr(folder, "SIZE", (48, 32))
    folder.write_crops(tmp_path / "photos")
    assert {read_picture(path).pixels.shape for path in (tmp_path / "photos").iterdir()} == {(32, 48, 3)}
    rows = folder.measure_folder(tmp_path / "photos", tmp_path, folder.ROOT)
    assert [(row["command"], row["checkout"]) for row in rows] == [
        (verb, name) for verb in ("encode", "decode") for name in ("this", "other")
    ]
    assert all(row["cpu_seconds"] > 0 and row["peak_mib"] > 30 for row in rows)
    assert len(list((tmp_path / "decode-other").glob("*.png"))) == 24


def test_colours_of_blocks_are_measured_as_told() -> None:
    """Two flat blocks and one of noise, and a rest that is no whole block: a shift of one flat block, and of one channel of the noise."""
    original = np.full((70, 200, 3), 100, np.uint8)
    original[:, 128:192] = np.random.default_rng(0).integers(60, 140, (70, 64, 3))
    decoded = original.copy()
    decoded[:64, :64] += 2
    decoded[:64, 128:192, 1] -= 5
    decoded[64:] = 0
    decoded[:, 192:] = 0
    flat, worst = colour_errors(original, decoded)
    assert len(flat) == 2 and 0.5 < flat[0] < 1 and flat[1] == 0
    assert worst == 5
    assert colour_errors(original[:63], decoded[:63]) == ([], 0)


@pytest.mark.parametrize(("num_bytes", "expected"), [(0, 10), (10, 10), (34, 30), (35, 30), (36, 40), (5000, 1010)])
def test_the_nearest_size_is_found(num_bytes: int, expected: int) -> None:
    assert len(nearest_in_size(lambda setting: bytes(10 * setting + 10), num_bytes)) == expected


@pytest.mark.slow
def test_colour_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "RESULTS", tmp_path)
    monkeypatch.setattr(colour, "QUALITIES", (30,))
    Image.fromarray(skimage.data.chelsea()[:128, :192]).save(tmp_path / "photo.png")
    colour.run_colour(str(tmp_path), "photo-v5")
    (target,) = tmp_path.glob("colour-photo-v5-*.json")
    ours, avif, nearest = json.loads(target.read_text(encoding="utf-8"))["summary"]
    assert [of["codec"] for of in (ours, avif, nearest)] == ["vqcodec", "avif", "nearest"]
    assert nearest["mean_bytes"] > ours["mean_bytes"] and max(nearest["worst_levels"], ours["worst_levels"]) < avif["worst_levels"]


def test_photos_to_try_out_training_are_cut_from_different_ones(tmp_path: Path) -> None:
    write_photos(tmp_path, 10, 64)
    pieces = {name: [np.asarray(Image.open(path)) for path in sorted((tmp_path / name).iterdir())] for name in ("training", "held-out")}
    assert {name: len(of_set) for name, of_set in pieces.items()} == {"training": 8, "held-out": 2}
    whole = skimage.data.coffee()
    windows = np.lib.stride_tricks.sliding_window_view(whole[..., 0], (64, 64))
    for piece in pieces["held-out"]:
        assert (windows[:, :, 0, 0] == piece[0, 0, 0]).any() and any(
            np.array_equal(windows[top, left], piece[..., 0]) for top, left in np.argwhere(windows[:, :, 0, 0] == piece[0, 0, 0])
        )


def test_a_model_along_its_dial(small_model: str, photo: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(photo[:64, :64]).save(tmp_path / "cat.png")
    run_model(str(tmp_path), small_model)
    header, _, *rows, last = capsys.readouterr().out.splitlines()
    assert header.startswith("| tune | quality | bytes | bpp | PSNR (dB) |") and len(rows) == 5 and "means over 1 pictures" in last
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert [row[:2] for row in cells] == [["psnr", quality] for quality in ("10", "30", "50", "70", "90")]
    data = vqcodec.encode(tmp_path / "cat.png", model=small_model, quality=70, tune="psnr")
    decoded = np.asarray(vqcodec.decode(data)).astype(float)
    psnr = 10 * np.log10(255**2 / np.square(decoded - photo[:64, :64]).mean())
    assert int(cells[3][2]) == len(data) and float(cells[3][4]) == pytest.approx(psnr, abs=0.01)
