"""What the project's own benchmark commands are made of."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from click import ClickException
from PIL import Image

from bench import dial, gap, images, published, semantics, training_gains, training_tables
from bench.images import image_set
from bench.semantics import SIDE_PX, Classifier, square
from bench.stages import measure_stages
from bench.trials import gather_decoder_trials, gather_prior_trials
from vqcodec.errors import ModelError, VqcodecError
from vqcodec.images.picture import Picture
from vqcodec.models.config import OperatingPoint, read_config
from vqcodec.models.registry import load_model
from vqcodec.training.dial import write_dial
from vqcodec.training.loop import write_metrics

ESPRESSO, CUP = 967, 968
"""ImageNet classes."""


@pytest.mark.skipif(importlib.util.find_spec("efficientnet_lite_pytorch") is None, reason="efficientnet-lite-pytorch is not installed")
def test_the_classifier_knows_coffee() -> None:
    classifier = Classifier.load()
    pixels = square(skimage.data.coffee())
    assert pixels.shape == (SIDE_PX, SIDE_PX, 3)
    assert classifier.top_1(pixels) in (ESPRESSO, CUP)
    assert classifier.top_1(np.full_like(pixels, 128)) not in (ESPRESSO, CUP)


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


def test_stages_add_up_to_the_whole(models_root: Path, photo: np.ndarray) -> None:
    model = load_model(read_config(models_root / "small-test"), "cpu")
    stages = measure_stages(Picture(photo), model, OperatingPoint(2, 0.1))
    assert "decoder network" in stages["decode"] and set(stages["encode"]) >= {"encoder network", "priors", "frequencies", "coder"}
    for of in stages.values():
        assert 0 <= of.get("other", 0) < 0.6 * sum(of.values())


def test_published_curves_have_sources_and_rise() -> None:
    curves = published.read_published()
    assert {"BPG 4:4:4", "VTM", "mbt2018", "Control-GIC, backbone not stated"} <= {curve.name for curve in curves}
    for curve in curves:
        assert curve.source and [point.bpp for point in curve.points] == sorted(point.bpp for point in curve.points)
    assert json.loads(published.TARGET.read_text(encoding="utf-8"))[0]["points"][0]["psnr_db"] > 20


def test_gap_is_none_between_equal_photos_and_shows_in_jpeg(models_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(256, size=(2, 256, 256, 3), dtype=np.uint8)
    for folder, photos in {"known": noise, "calm": noise // 4}.items():
        (tmp_path / folder).mkdir()
        for number, pixels in enumerate(photos):
            Image.fromarray(pixels).save(tmp_path / folder / f"{number}.png")
    monkeypatch.setattr(images, "RESULTS", tmp_path)
    results = []
    for others in ("known", "calm"):
        gap.measure_gap([tmp_path / "known"], tmp_path / others, tmp_path / "cache", str(models_root / "small-test"))
        results.append(json.loads((tmp_path / "gap-small-test.json").read_text(encoding="utf-8")))
    equal, differing = results
    assert equal["photos"] == [2, 2] and equal["jpeg"]["bpp"][0] == equal["jpeg"]["bpp"][1] > 1.5 * differing["jpeg"]["bpp"][1]
    for setting in equal["settings"]:
        assert [row["map"] for row in setting["priors"]] == ["top", "bottom", "refine_1", "refine_2"]
        assert all(row["training_real"] == row["held_out_real"] for row in setting["priors"])
    assert differing["settings"][0]["priors"][0]["training_real"] != differing["settings"][0]["priors"][0]["held_out_real"]


def test_a_dial_is_measured_once(models_root: Path, photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "RESULTS", tmp_path)
    (tmp_path / "photos").mkdir()
    Image.fromarray(photo[:40, :56]).save(tmp_path / "photos/cat.png")
    folder = tmp_path / "dialled"
    shutil.copytree(models_root / "small-test", folder)
    write_dial(folder, [OperatingPoint(1, 0.5)] * 50 + [OperatingPoint(2, 0.5)] * 50)
    dial.run_dial(str(tmp_path / "photos"), str(folder))
    (target,) = tmp_path.glob("*.json")
    first = json.loads(target.read_text(encoding="utf-8"))
    assert len(first["qualities"]) == 51 and first["qualities"][-1]["num_bytes"] > first["qualities"][0]["num_bytes"]
    marked = {**first, "qualities": [{**row, "psnr_db": [99.0]} for row in first["qualities"]]}
    target.write_text(json.dumps(marked), encoding="utf-8")
    write_dial(folder, [OperatingPoint(1, 0.4)] * 50 + [OperatingPoint(2, 0.5)] * 50)
    dial.run_dial(str(tmp_path / "photos"), str(folder))
    again = json.loads(target.read_text(encoding="utf-8"))["qualities"]
    assert again[25:] == marked["qualities"][25:] and again[0]["psnr_db"] != [99.0] and again[0]["point"] == [1, 0.4]


def test_summary_of_a_dial_tells_a_fall() -> None:
    rows = [
        {"quality": 1, "num_bytes": [60, 500], "psnr_db": [20.0, 25.0]},
        {"quality": 5, "num_bytes": [900, 900], "psnr_db": [21.0, 24.5]},
        {"quality": 9, "num_bytes": [900, 2000], "psnr_db": [22.0, 26.0]},
    ]
    rising = dial.summary({"pixels": [10_000, 10_000], "qualities": rows})
    assert "has 1 to 2 distinct sizes" in rising and "rise at every step" in rising and "fall by 0.0% at most, its PSNR by 2.0%" in rising
    falling = dial.summary({"pixels": [10_000, 10_000], "qualities": [rows[2], rows[1]]})
    assert "do not rise at every step" in falling and "fall by 55.0%" in falling


def test_equal_training(models_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("photos", "results"):
        (tmp_path / name).mkdir()
    Image.fromarray(skimage.data.chelsea()[:160, :160]).save(tmp_path / "photos/cat.png")
    shutil.copytree(models_root / "small-test", tmp_path / "logged")
    monkeypatch.setattr(training_gains, "POINTS", (OperatingPoint(1, 0.1), OperatingPoint(2, 0.0)))
    monkeypatch.setattr(images, "RESULTS", tmp_path / "results")
    folders = {"one": tmp_path / "logged", "the other": tmp_path / "logged"}
    with pytest.raises(ModelError, match=r"holds no training\.jsonl"):
        training_gains.compare_equal_training(folders, str(tmp_path / "photos"), str(tmp_path / "logged"))
    (tmp_path / "logged/training.jsonl").write_text(json.dumps({"kind": "step", "step": 70, "elapsed_s": 5.5}) + "\n", encoding="utf-8")
    training_gains.compare_equal_training(folders, str(tmp_path / "photos"), str(tmp_path / "logged"))
    (target,) = (tmp_path / "results").iterdir()
    one, other = json.loads(target.read_text(encoding="utf-8"))["arms"]
    assert one["steps"] == 70 and one["rows"] == other["rows"]
    coarse, fine = one["rows"]
    assert coarse["bpp"] < fine["bpp"] and coarse["psnr_db"] < fine["psnr_db"]


def test_equal_training_is_told_as_bd_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    curve = [(0.1, 25.0), (0.2, 28.0), (0.4, 31.0), (0.8, 34.0)]
    arms = [
        {"arm": name, "rows": [{"maps": 2, "rate_weight": 1.0, "bpp": factor * bpp, "psnr_db": db} for bpp, db in curve]}
        for name, factor in (("cheap", 0.5), ("dear", 1.0))
    ]
    (tmp_path / "equal-training-any.json").write_text(json.dumps({"arms": arms}), encoding="utf-8")
    monkeypatch.setattr(training_tables, "RESULTS", tmp_path)
    table = training_tables.equal_training_table("any")
    assert "| 2 | 1.0 | 0.050 | 25.00 | 0.100 | 25.00 |" in table
    assert table.endswith("Cheap against dear: -50.0% in bytes at equal PSNR (BD-rate).")


def test_more_training_is_compared_on_held_out_photos(models_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(skimage.data.chelsea()[:160, :160]).save(tmp_path / "photos/cat.png")
    log = {"small-test": (70, 5.5), "further": (90, 125.5)}
    for name, (step, seconds) in log.items():
        shutil.copytree(models_root / "small-test", tmp_path / name)
        write_metrics(tmp_path / name / "training.jsonl", [{"kind": "step", "step": step, "elapsed_s": seconds}])
    monkeypatch.setattr(training_gains, "POINTS", tuple(OperatingPoint(maps, 0.0) for maps in (2, 3, 4)))
    for module in (images, training_tables):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(training_gains, "HELD_OUT_CROPS", 1)
    photos, folders = tmp_path / "photos", {"new photos": tmp_path / "further"}
    training_gains.measure_more_training(folders, photos, tmp_path / "cache", str(tmp_path / "small-test"))
    before, further = training_tables.more_training_table("small-test").splitlines()[2:]
    assert before.startswith("| small-test | | | ")
    assert further.startswith("| new photos | 20 | 2 | ") and further.endswith("| +0.00% |")


def test_trials_are_gathered_from_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, run = tmp_path / "tiny", tmp_path / "run"
    model.mkdir()
    run.mkdir()
    held_out = [
        {
            "kind": "validation",
            "step": step,
            "elapsed_s": 10.0 * step,
            "psnr_db": [30, 32],
            "lpips_alex": [0.1, 0.01 * step],
            "lpips_vgg": [0, 1],
        }
        for step in (10, 14, 20)
    ]
    write_metrics(model / "decoder-training.jsonl", [*held_out[:1], {"kind": "step", "step": 12, "elapsed_s": 120.0}])
    write_metrics(run / "metrics.jsonl", held_out)
    monkeypatch.setattr(training_tables, "MODELS", tmp_path)
    for name in ("a", "b", "a"):
        gather_decoder_trials({name: run}, model)
    lines = training_tables.decoder_trials_table("tiny").splitlines()[2:]
    assert sorted(lines) == [
        "| a | 2 | 0 | 31.00 | 0.1200 | 0.5000 |",
        "| a | 8 | 1 | 31.00 | 0.1500 | 0.5000 |",
        "| b | 2 | 0 | 31.00 | 0.1200 | 0.5000 |",
        "| b | 8 | 1 | 31.00 | 0.1500 | 0.5000 |",
    ]
    write_metrics(run / "metrics.jsonl", [{"kind": "validation", "step": 5, "elapsed_s": 7.4, "bits_per_code_fixed": 4.5}])
    gather_prior_trials({"short": run}, model)
    assert training_tables.prior_trials_table("tiny").splitlines()[2:] == ["| short | 5 | 7 | 4.500 |"]
    write_metrics(run / "metrics.jsonl", [])
    with pytest.raises(ClickException, match="no held-out figures"):
        gather_prior_trials({"short": run}, model)
