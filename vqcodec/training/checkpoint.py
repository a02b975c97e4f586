"""Checkpoints that survive a kill at any moment: written beside the old one, then renamed over it. Loaded without running code."""

import os
from pathlib import Path
from typing import Any, Final

import torch

from vqcodec.errors import ModelError

_KEYS: Final = ("recipe", "step", "elapsed_s", "model", "averaged", "optimizers")
"""Of what every kind of training run saves."""


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes tensors and plain values to `path`; a reader sees the old file or the new one, never a part."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Reads what `save_checkpoint` wrote of a training run.

    Raises:
        ModelError: the file is absent, cannot be read, or is no checkpoint of a run.
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
