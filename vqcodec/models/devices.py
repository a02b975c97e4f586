"""Devices that networks run on, by name."""

from typing import TYPE_CHECKING

from vqcodec.errors import ModelError

if TYPE_CHECKING:
    import torch


def resolve_device(device: str) -> "torch.device":
    """The torch device of "auto" (CUDA where there is one), "cpu" or "cuda".

    Raises:
        ModelError: CUDA is asked for and absent.
        ValueError: another name.
    """
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda, not {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError("device cuda asked for, but torch finds no CUDA device")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
