"""Finds models by permanent number and by id: in a checkout, in a wheel, and in the folders that VQCODEC_MODELS names.

A model folder holds `config.json` and `weights.safetensors`. Finding models reads the configs alone and imports no torch.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from vqcodec.errors import ModelError, UnknownModelError, WeightsMismatchError
from vqcodec.models.config import CONFIG_NAME, ModelConfig, read_config

DEFAULT_MODEL: Final = "photo-v5"
"""Id of the model that is used where none is named."""

MODELS_VARIABLE: Final = "VQCODEC_MODELS"
"""Environment variable that names folders of further model folders."""


def model_roots() -> list[Path]:
    """Returns the folders that hold model folders: those of VQCODEC_MODELS, then the installed or the checkout's own."""
    package = Path(__file__).resolve().parents[1]
    return [root for root in (*_named_roots(), package / "_models", package.parent / "models") if root.is_dir()]


def _named_roots() -> list[Path]:
    return [Path(part) for part in os.environ.get(MODELS_VARIABLE, "").split(os.pathsep) if part]


def list_models(on_error: Callable[[ModelError], object] = lambda _: None) -> list[ModelConfig]:
    """Returns every model that can be found, ordered by number; of equal ids the first found.

    A broken config, or a folder of VQCODEC_MODELS that holds no model, is left out, and told to `on_error`.
    """
    found: dict[str, ModelConfig] = {}
    for config in _all_models(on_error):
        found.setdefault(config.id, config)
    return sorted(found.values(), key=lambda config: config.number)


def _all_models(on_error: Callable[[ModelError], object] = lambda _: None) -> Iterator[ModelConfig]:
    for folder in _named_roots():
        if not any(folder.glob(f"*/{CONFIG_NAME}")):
            on_error(ModelError(f"{folder}, named by {MODELS_VARIABLE}: expected a folder of model folders"))
    for root in model_roots():
        for path in sorted(root.glob(f"*/{CONFIG_NAME}")):
            try:
                yield read_config(path.parent)
            except ModelError as error:
                on_error(error)


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
    raise UnknownModelError(f"no model {str(id_or_folder)!r}; installed: {known}")


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
    for config in _all_models():
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
        f"{MODELS_VARIABLE} names folders of further models"
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
