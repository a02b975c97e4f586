"""Checkpoints of training runs: a kill at any moment leaves the old one or the new one whole, and loading one runs no code from it."""

from pathlib import Path
from typing import Any, Final

import torch

from vqcodec.errors import ModelError
from vqcodec.storage import replacing_file

CHECKPOINT_NAME: Final = "checkpoint.pt"
"""Name of the checkpoint in the folder of a run."""
_KEYS: Final = (
    *("recipe", "inputs", "changes", "clock", "step", "first_step", "position", "elapsed_s"),
    *("network", "averaged", "optimizers"),
)
"""Keys of the state that every kind of training run saves."""


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes tensors and plain values to `path`; a reader sees the old file or the new one, never a part."""
    with replacing_file(path) as file:
        torch.save(state, file)


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Reads the checkpoint of a training run, as `save_checkpoint` wrote it.

    Raises:
        ModelError: The file is absent, cannot be read, or is no checkpoint of a run.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no checkpoint to go on from") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise ModelError(f"{path}: not a checkpoint of a training run") from error
    if not isinstance(state, dict) or any(key not in state for key in _KEYS) or not isinstance(state["recipe"], dict):
        raise ModelError(f"{path}: not a checkpoint of a training run, which holds {', '.join(_KEYS)}")
    return state
