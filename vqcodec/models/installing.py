"""Models that a user adds to those that are found without VQCODEC_MODELS, and removes again."""

import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vqcodec.errors import ModelError, UnknownModelError, WeightsMismatchError
from vqcodec.models.config import CONFIG_NAME, PERCEPTUAL_NAME, WEIGHTS_NAME, ModelConfig, read_config
from vqcodec.models.hub import SCHEME, fetch
from vqcodec.models.model import load_model
from vqcodec.models.registry import SOURCE_NAME, Source, all_models, user_models_folder
from vqcodec.storage import HIDDEN_PREFIX, replacing_files, to_json

CARD_NAMES: Final = ("MODEL_CARD.md", "README.md")
"""Names that the card of a model may have; the hub shows README.md."""
MODEL_FILES: Final = (CONFIG_NAME, WEIGHTS_NAME, PERCEPTUAL_NAME, *CARD_NAMES, "LICENSE")
"""Names of the files of a model folder that are kept of a model that is added."""


@dataclass(frozen=True)
class Added:
    """A model that is installed.

    Attributes:
        config: its description.
        is_new: whether it was not installed before.
    """

    config: ModelConfig
    is_new: bool


def add_model(name: str) -> Added:
    """Copies a model into the user's data folder, where it is found from then on; what is there already is left as it is.

    Args:
        name: a model folder, or hf://owner/name@revision, with a tag or a commit, on the Hugging Face Hub.

    Raises:
        ModelError: There is no such model, or its config does not fit its weights, or its id or number is that of another model;
            `WeightsMismatchError` where a digest is not that of the config, or of the card.
        OSError: The data folder cannot be written to.
    """
    if not name.startswith(SCHEME):
        folder = Path(name)
        if not folder.is_dir():
            raise ModelError(f"{name}: is no folder, expected a model folder or {SCHEME}owner/name@revision")
        return _added(folder, Source(str(folder.resolve())))
    with tempfile.TemporaryDirectory(prefix=HIDDEN_PREFIX) as fetched:
        commit = fetch(name, Path(fetched), MODEL_FILES)
        with _told_by(Path(fetched), name):
            return _added(Path(fetched), Source(name, commit))


@contextmanager
def _told_by(copies: Path, source: str) -> Iterator[None]:
    """Lets errors of files in a folder of copies, which is gone when they are read, name what the copies are of.

    Raises:
        ModelError: The block raised one, which this stands for.
    """
    try:
        yield
    except ModelError as error:
        raise type(error)(str(error).replace(str(copies), source)) from error


def _added(folder: Path, source: Source) -> Added:
    given = read_config(folder)
    if (installed := _installed(given)) is not None:
        _check(given)
        return Added(installed, is_new=False)
    target = user_models_folder() / given.id
    if (target / CONFIG_NAME).exists():
        raise ModelError(f"{target}: exists already, and is not {given.id}; `vqcodec models remove {target.name}` removes it")
    with replacing_files(target, last=CONFIG_NAME) as new:
        for name in MODEL_FILES:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, new / name)
        with _told_by(new, str(folder)):
            _check(read_config(new))
        (new / SOURCE_NAME).write_bytes(to_json({"name": source.name, "commit": source.commit}))
    return Added(read_config(target), is_new=True)


def _installed(given: ModelConfig) -> ModelConfig | None:
    """Returns the installed model of the same number and weights.

    Raises:
        ModelError: Its id or its number is that of another model.
    """
    for config in all_models():
        if config.number == given.number and config.weights_sha256 == given.weights_sha256:
            return config
        for key, value in (("id", given.id), ("number", given.number)):
            if getattr(config, key) == value:
                raise ModelError(
                    f"{key} {value} is that of {config.id} in {config.folder}, with number {config.number} and weights "
                    f"{config.weights_sha256[:16]}, not {given.weights_sha256[:16]}; expected one that no other model has"
                )
    return None


def _check(config: ModelConfig) -> None:
    """Checks that the weights of a model are those that its config and its card state, and fit it.

    Raises:
        ModelError: They do not fit; `WeightsMismatchError` where a digest differs.
    """
    digests = {WEIGHTS_NAME: config.weights_sha256, PERCEPTUAL_NAME: config.perceptual_sha256}
    for card in (config.folder / name for name in CARD_NAMES):
        text = card.read_text(encoding="utf-8", errors="replace") if card.exists() else ""
        for name, digest in digests.items():
            stated = re.search(rf"^\| *`{re.escape(name)}` *\|.*`([0-9a-f]{{64}})`", text, re.MULTILINE)
            if stated is not None and stated[1] != digest:
                raise WeightsMismatchError(f"{card.name} states sha256 {stated[1]} of {name}, {CONFIG_NAME} {digest or 'none'}")
    load_model(config, "cpu").make_all()


def remove_model(name: str) -> Path:
    """Removes a model that was added, whole or broken, and returns the folder that it was in.

    Raises:
        UnknownModelError: No model of this id was added.
        OSError: The folder cannot be removed.
    """
    root = user_models_folder()
    added = [path.name for path in sorted(root.glob("*")) if path.is_dir() and not path.name.startswith(HIDDEN_PREFIX)]
    if name not in added:
        elsewhere = next((f"; {name} in {config.folder} was not added" for config in all_models() if config.id == name), "")
        raise UnknownModelError(f"no model {name!r} among those that were added: {', '.join(added) or 'none'}{elsewhere}")
    aside = root / (HIDDEN_PREFIX + secrets.token_hex(8))
    (root / name).rename(aside)
    if aside.is_symlink():
        aside.unlink()
    else:
        shutil.rmtree(aside)
    return root / name
