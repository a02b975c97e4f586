"""Checks which models are added and removed, and that a refused one leaves nothing behind."""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import vqcodec
from tests.conftest import make_picture
from vqcodec.errors import ModelError, UnknownModelError, WeightsMismatchError
from vqcodec.models.config import CONFIG_NAME, WEIGHTS_NAME, read_config
from vqcodec.models.installing import add_model, remove_model
from vqcodec.models.registry import find_model, list_models, origin_of, source_of, user_models_folder


@pytest.fixture
def given(tmp_path: Path, models_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the folder of a model that is not installed; the user's data folder is empty."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folder = tmp_path / "given" / "small-test"
    shutil.copytree(models_root / "small-test", folder)
    return folder


def changed(folder: Path, **values: Any) -> Path:
    config = folder / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **values}))
    return folder


def left() -> list[str]:
    root = user_models_folder()
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_an_added_model_is_found_until_it_is_removed(given: Path) -> None:
    (given / "MODEL_CARD.md").write_text("# small-test\n")
    (given / "training.jsonl").write_text("{}\n")
    added = add_model(str(given))
    assert added.is_new and left() == [
        f"small-test/{name}" for name in ("MODEL_CARD.md", "config.json", "source.json", "weights.safetensors")
    ]
    source = source_of(added.config)
    assert origin_of(added.config) == "added" and source is not None and (source.name, source.commit) == (str(given), None)
    shutil.rmtree(given)
    data = vqcodec.encode(make_picture(24, 24), model="small-test")
    assert vqcodec.decode(data).size == (24, 24)
    remove_model("small-test")
    assert not list(user_models_folder().iterdir())
    with pytest.raises(UnknownModelError, match="`vqcodec models add` installs one"):
        vqcodec.decode(data)


def test_the_same_weights_are_added_once(given: Path) -> None:
    add_model(str(given))
    again = add_model(str(given))
    assert not again.is_new and again.config.folder == user_models_folder() / "small-test"
    renamed = given.rename(given.with_name("other"))
    assert add_model(str(changed(renamed, id="other"))).config.id == "small-test"
    bare = renamed.with_name("bare")
    bare.mkdir()
    shutil.copy(renamed / CONFIG_NAME, bare)
    with pytest.raises(ModelError, match=WEIGHTS_NAME):
        add_model(str(bare))


@pytest.mark.parametrize(("key", "values"), [("id", {"number": 1001}), ("number", {"id": "other"})])
def test_an_id_or_number_of_another_model_is_refused(given: Path, key: str, values: dict[str, Any]) -> None:
    add_model(str(given))
    before = left()
    weights = given / "weights.safetensors"
    weights.write_bytes(weights.read_bytes() + b"\0")
    changed(given, weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(), **values)
    with pytest.raises(ModelError, match=rf"^{key} \S+ is that of small-test in .* expected one that no other model has$"):
        add_model(str(given))
    assert left() == before


def test_an_id_of_a_shipped_model_is_refused(given: Path) -> None:
    with pytest.raises(ModelError, match="id photo-v5 is that of photo-v5"):
        add_model(str(changed(given, id="photo-v5")))


def test_weights_of_another_digest_leave_nothing(given: Path) -> None:
    weights = given / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(WeightsMismatchError, match=f"^{re.escape(str(weights))}: sha256 is"):
        add_model(str(given))
    assert left() == [] and [path.name for path in user_models_folder().iterdir()] == []


def test_a_perceptual_decoder_is_checked_too(given: Path) -> None:
    (given / "perceptual.safetensors").write_bytes(b"other")
    with pytest.raises(WeightsMismatchError, match=r"perceptual\.safetensors: sha256 is"):
        add_model(str(changed(given, perceptual_sha256=64 * "0")))
    assert left() == []


@pytest.mark.parametrize("card", ["MODEL_CARD.md", "README.md"])
def test_a_card_of_other_weights_is_refused(given: Path, card: str) -> None:
    (given / card).write_text(f"| file | SHA-256 |\n|---|---|\n| `weights.safetensors` | `{64 * '0'}` |\n")
    with pytest.raises(WeightsMismatchError, match=f"{card} states sha256 0000"):
        add_model(str(given))
    assert left() == []


def test_weights_that_do_not_fit_the_config_are_refused(given: Path) -> None:
    with pytest.raises(ModelError, match=r"does not fit config\.json"):
        add_model(str(changed(given, priors=[])))
    assert left() == []


@pytest.mark.parametrize("name", ["autoencoder.encoder_blocks.0.conv_1.bias", "autoencoder.decoder.to_pixels.bias", "prior_1.head.bias"])
def test_weights_that_lack_a_tensor_of_any_part_are_refused(given: Path, name: str) -> None:
    weights = given / "weights.safetensors"
    tensors = safetensors.numpy.load_file(weights)
    del tensors[name]
    safetensors.numpy.save_file(tensors, weights)
    with pytest.raises(ModelError, match="there is no tensor " + re.escape(name.split(".", 1)[1])):
        add_model(str(changed(given, weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest())))
    assert left() == []


def test_a_perceptual_decoder_that_does_not_fit_is_refused(given: Path) -> None:
    perceptual = given / "perceptual.safetensors"
    safetensors.numpy.save_file({"other": np.zeros(1)}, perceptual)
    with pytest.raises(ModelError, match=r"perceptual\.safetensors: does not fit"):
        add_model(str(changed(given, perceptual_sha256=hashlib.sha256(perceptual.read_bytes()).hexdigest())))
    assert left() == []


def test_what_is_no_model_is_refused(tmp_path: Path, given: Path) -> None:
    with pytest.raises(ModelError, match=r"absent: is no folder, expected a model folder or hf://owner/name@revision$"):
        add_model(str(tmp_path / "absent"))
    broken = user_models_folder() / "small-test"
    broken.mkdir(parents=True)
    (broken / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="`vqcodec models remove small-test` removes it"):
        add_model(str(given))
    assert remove_model("small-test") == broken and add_model(str(given)).is_new


def test_the_first_of_equal_ids_is_the_one_in_a_named_folder(given: Path, models_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_model(str(given))
    assert find_model("small-test").folder == user_models_folder() / "small-test"
    monkeypatch.setenv("VQCODEC_MODELS", str(models_root))
    assert find_model("small-test").folder == models_root / "small-test"
    assert [origin_of(config) for config in list_models()] == ["shipped", "VQCODEC_MODELS"]
    assert origin_of(read_config(given)) == "folder"


def test_only_added_models_are_removed(given: Path, models_root: Path, small_model: str) -> None:
    for name in ("photo-v5", small_model, "..", ""):
        with pytest.raises(UnknownModelError, match="among those that were added: none"):
            remove_model(name)
    with pytest.raises(UnknownModelError, match=f"{small_model} in {models_root / small_model} was not added"):
        remove_model(small_model)
    user_models_folder().mkdir(parents=True)
    (user_models_folder() / small_model).symlink_to(models_root / small_model)
    remove_model(small_model)
    assert (models_root / small_model / "config.json").exists()


def test_folders_that_are_being_written_are_no_models(given: Path) -> None:
    shutil.copytree(given, user_models_folder() / ".vqcodec-0123")
    assert [config.id for config in list_models()] == ["photo-v5"]


def test_a_full_disk_leaves_nothing(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("os.fsync", fsync)
    with pytest.raises(OSError, match="No space"):
        add_model(str(given))
    assert left() == []
