"""Names of the devices that networks run on."""

import torch

from vqcodec.errors import ModelError


def resolve_device(device: str) -> torch.device:
    """Returns the torch device of "auto" (CUDA where there is one), "cpu" or "cuda".

    Raises:
        ModelError: CUDA is asked for, and there is none.
        ValueError: The name is another one.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda, not {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError("device cuda was asked for, but torch finds no CUDA device")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
