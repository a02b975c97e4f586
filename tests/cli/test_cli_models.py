"""Checks what the command `models` lists, and which folders it leaves out."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import encoded, run
from tests.conftest import lock
from vqcodec.models.registry import DEFAULT_MODEL


@pytest.mark.parametrize("text", ["{}", 5000 * "[", "[1]", "\x00"])
def test_a_broken_model_folder_is_named_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text(text)
    monkeypatch.setenv("VQCODEC_MODELS", str(tmp_path))
    result = run("models")
    assert result.exit_code == 0 and DEFAULT_MODEL in result.stdout and "broken" not in result.stdout
    assert len(result.stderr.splitlines()) == 1 and "broken/config.json: not a model config" in result.stderr


def test_folders_without_models_are_told(tmp_path: Path, models_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty, model = tmp_path / "empty", models_root / "small-test"
    monkeypatch.setenv("VQCODEC_MODELS", os.pathsep.join([str(empty), str(model)]))
    lines = run("models").stderr.splitlines()
    assert [line.split(", ")[0] for line in lines] == [f"vqcodec: left out: {empty}", f"vqcodec: left out: {model}"]
    assert all(line.endswith("named by VQCODEC_MODELS: expected a folder of model folders") for line in lines)


def test_folders_that_cannot_be_looked_at_hinder_no_others(
    tmp_path: Path, models_root: Path, small_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (locked := tmp_path / "locked").mkdir()
    shutil.copytree(models_root / small_model, tmp_path / "other" / "model")
    shutil.copytree(models_root / small_model, tmp_path / "other" / "a-locked-model")
    monkeypatch.setenv("VQCODEC_MODELS", os.pathsep.join([str(locked / "models"), str(tmp_path / "other")]))
    monkeypatch.setenv("XDG_DATA_HOME", str(locked))
    lock(locked, monkeypatch)
    lock(tmp_path / "other" / "a-locked-model", monkeypatch)
    result = run("models")
    assert {line.split()[0] for line in result.stdout.splitlines()} >= {small_model, DEFAULT_MODEL}
    told = f"vqcodec: left out: {locked / 'models'}, named by VQCODEC_MODELS: expected a folder of model folders\n"
    assert (result.exit_code, result.stderr) == (0, told)


def test_a_broken_model_folder_does_not_hinder_the_others(picture: Path, models_root: Path, small_model: str) -> None:
    broken = models_root / "broken"
    broken.mkdir(exist_ok=True)
    (broken / "config.json").write_text("{}")
    path = encoded(picture, small_model)
    assert run("info", path).exit_code == 0
    result = run("encode", picture, "-m", "broken", "-f")
    assert result.exit_code == 1 and "not a model config" in result.stderr


def test_models_json(small_model: str) -> None:
    rows = {row["id"]: row for row in map(json.loads, run("models", "--json").stdout.splitlines())}
    keys = {"id", "number", "parameters", "num_bytes", "weights_sha256", "is_default", "has_perceptual_decoder", "folder"}
    keys |= {"origin", "source", "commit"}
    assert set(rows[small_model]) == keys
    assert [(rows[name]["is_default"], rows[name]["has_perceptual_decoder"]) for name in (small_model, DEFAULT_MODEL)] == [
        (False, False),
        (True, True),
    ]
    lines = {line.split()[0]: line for line in run("models").stdout.splitlines()}
    assert lines[DEFAULT_MODEL].endswith("  perceptual decoder  default") and "default" not in lines[small_model]
    assert rows[DEFAULT_MODEL]["number"] == 5 and rows[DEFAULT_MODEL]["parameters"] <= 8_000_000


def test_models_are_added_and_removed(tmp_path: Path, models_root: Path, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folder, given = tmp_path / "data" / "vqcodec" / "models" / "small-test", models_root / "small-test"
    for told in (
        f"added small-test, number 1000, in {folder}",
        f"nothing to add: small-test, number 1000, has the same weights in {folder}",
    ):
        result = run("models", "add", given)
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"vqcodec: {told}\n")
    lines = {line.split()[0]: line for line in run("models").stdout.splitlines()}
    assert f"  added from {given}" in lines["small-test"] and "  shipped  " in lines[DEFAULT_MODEL]
    rows = {row["id"]: row for row in map(json.loads, run("models", "--json").stdout.splitlines())}
    assert [rows["small-test"][key] for key in ("origin", "source", "commit")] == ["added", str(given), None]
    path = encoded(picture, "small-test")
    assert run("decode", path, "-o", tmp_path / "back.png").exit_code == 0
    assert run("models", "remove", "small-test").stderr == f"vqcodec: removed {folder}\n"
    result = run("decode", path, "-o", tmp_path / "again.png")
    assert result.exit_code == 1 and "`vqcodec models add` installs one" in result.stderr


def test_a_refused_model_is_told_in_one_line(tmp_path: Path) -> None:
    for arguments in (("add", tmp_path), ("add", "hf://tiny"), ("remove", DEFAULT_MODEL)):
        result = run("models", *arguments)
        assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert run("models", "--json", "remove", "x").exit_code == 2
