"""Checkpoints that survive a kill at any moment: written beside the old one, then renamed over it. Loaded without running code."""

import os
from pathlib import Path
from typing import Any

import torch

from vqcodec.errors import ModelError


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes tensors and plain values to `path`; a reader sees the old file or the new one, never a part."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Reads what `save_checkpoint` wrote.

    Raises:
        ModelError: the file is absent or is no checkpoint.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no checkpoint to resume from") from error
    except Exception as error:
        raise ModelError(f"{path}: not a checkpoint: {error}") from error
    return state
