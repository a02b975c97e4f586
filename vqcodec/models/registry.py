"""Finds models by permanent number and by id: in the folders that VQCODEC_MODELS names, in a checkout or wheel, in the user's data folder.

A model folder holds `config.json` and `weights.safetensors`. Finding models reads the configs alone and imports no torch.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from vqcodec.errors import ModelError, UnknownModelError, WeightsMismatchError
from vqcodec.models.config import CONFIG_NAME, ModelConfig, read_config
from vqcodec.storage import HIDDEN_PREFIX

DEFAULT_MODEL: Final = "photo-v5"
"""Id of the model that is used where none is named."""

MODELS_VARIABLE: Final[Literal["VQCODEC_MODELS"]] = "VQCODEC_MODELS"
"""Environment variable that names folders of further model folders."""


Origin = Literal["VQCODEC_MODELS", "shipped", "added", "folder"]
"""Where a model was found: in a folder of VQCODEC_MODELS, among those of vqcodec, in the user's data folder, or in a folder given."""

SOURCE_NAME: Final = "source.json"
"""Name of the file that says where an added model is from."""


@dataclass(frozen=True)
class Source:
    """Where an added model is from.

    Attributes:
        name: the folder or the name on the hub that it was added by.
        commit: the commit on the hub; None of a folder.
    """

    name: str
    commit: str | None = None


def user_models_folder() -> Path:
    """Returns the folder, which may be absent, of the models that the user has added.

    It is vqcodec/models in the folder that the system has for data of programs: %LOCALAPPDATA% on Windows, ~/Library/Application Support on
    macOS, and elsewhere $XDG_DATA_HOME, or ~/.local/share where that names no absolute path.
    """
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 (Path.home raises where there is none)
    if sys.platform == "win32":
        data = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
    elif sys.platform == "darwin":
        data = home / "Library" / "Application Support"
    else:
        named = os.environ.get("XDG_DATA_HOME", "")
        data = named if named.startswith("/") else home / ".local" / "share"
    return Path(data) / "vqcodec" / "models"


def model_roots() -> list[Path]:
    """Returns the folders that hold model folders, in the order in which they are searched."""
    return [root for root, _ in _roots()]


def _roots() -> list[tuple[Path, Origin]]:
    package = Path(__file__).resolve().parents[1]
    roots: list[tuple[Path, Origin]] = [(root, MODELS_VARIABLE) for root in _named_roots()]
    roots += [(package / "_models", "shipped"), (package.parent / "models", "shipped"), (user_models_folder(), "added")]
    return [(root, origin) for root, origin in roots if os.path.isdir(root)]  # noqa: PTH112 (one that cannot be looked at is none)


def _named_roots() -> list[Path]:
    return [Path(part) for part in os.environ.get(MODELS_VARIABLE, "").split(os.pathsep) if part]


def origin_of(config: ModelConfig) -> Origin:
    """Returns where a model was found."""
    return next((origin for root, origin in _roots() if config.folder.parent == root), "folder")


def source_of(config: ModelConfig) -> Source | None:
    """Returns where a model was added from; None where that is not recorded."""
    try:
        values = json.loads((config.folder / SOURCE_NAME).read_text(encoding="utf-8"))
        return Source(str(values["name"]), None if values["commit"] is None else str(values["commit"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def list_models(on_error: Callable[[ModelError], object] = lambda _: None) -> list[ModelConfig]:
    """Returns every model that can be found, ordered by number; of equal ids the first found.

    A broken config, or a folder of VQCODEC_MODELS that holds no model, is left out, and told to `on_error`.
    """
    found: dict[str, ModelConfig] = {}
    for config in all_models(on_error):
        found.setdefault(config.id, config)
    return sorted(found.values(), key=lambda config: config.number)


def all_models(on_error: Callable[[ModelError], object] = lambda _: None) -> Iterator[ModelConfig]:
    """Yields the models of all folders in the order in which they are searched, those that earlier ones hide, too."""
    for folder in _named_roots():
        if not _config_paths(folder):
            on_error(ModelError(f"{folder}, named by {MODELS_VARIABLE}: expected a folder of model folders"))
    for root in model_roots():
        for path in _config_paths(root):
            if path.parent.name.startswith(HIDDEN_PREFIX):  # a folder that is being written
                continue
            try:
                yield read_config(path.parent)
            except ModelError as error:
                on_error(error)


def _config_paths(root: Path) -> list[Path]:
    """Returns the configs in the folders of a folder; those that cannot be looked at hold none."""
    try:
        paths = [folder / CONFIG_NAME for folder in sorted(root.iterdir())]
    except OSError:
        return []
    return [path for path in paths if os.path.exists(path)]  # noqa: PTH110 (raises nothing)


def find_model(id_or_folder: str | Path) -> ModelConfig:
    """Returns the model of this id, or the one in this folder.

    Raises:
        UnknownModelError: There is none.
        ModelError: The folder's config is malformed.
    """
    models = list_models()
    for config in models:
        if config.id == id_or_folder:
            return config
    for folder in (Path(id_or_folder), *(root / id_or_folder for root in model_roots())):
        if _is_file(folder / CONFIG_NAME):
            return read_config(folder)
    known = ", ".join(config.id for config in models) or "none"
    there = f"; the folder of this name holds no {CONFIG_NAME}" if os.path.isdir(id_or_folder) else ""  # noqa: PTH112 (takes any name)
    raise UnknownModelError(f"no model {str(id_or_folder)!r}; installed: {known}{there}")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def find_model_by_number(number: int, weights_digest: bytes) -> ModelConfig:
    """Returns the model that a file names.

    Raises:
        UnknownModelError: No installed model has this number.
        WeightsMismatchError: A model has this number, and other weights.
    """
    same_number = []
    for config in all_models():
        if config.number == number:
            if config.weights_digest == weights_digest:
                return config
            same_number.append(config)
    if same_number:
        raise WeightsMismatchError(
            f"file was written with weights {weights_digest.hex()} of model {number}; "
            f"installed {same_number[0].id} has {same_number[0].weights_digest.hex()}"
        )
    raise UnknownModelError(
        f"file needs model number {number} (weights {weights_digest.hex()}), which is not installed; "
        f"`vqcodec models add` installs one, and {MODELS_VARIABLE} names folders of further ones"
    )


def model_id(number: int, weights_digest: bytes) -> str:
    """Returns the id of an installed model, or `#number` where it is not installed with these weights."""
    try:
        return find_model_by_number(number, weights_digest).id
    except ModelError:
        return f"#{number}"


def is_installed(config: ModelConfig) -> bool:
    """Returns whether files of this model can be decoded: whether it is found by number and weights, perhaps under another name."""
    try:
        find_model_by_number(config.number, config.weights_digest)
    except ModelError:
        return False
    return True
