"""What runs the networks: the fast runtime on a CPU where it is installed, else torch."""

import os
from importlib.util import find_spec
from typing import Final

RUNTIME_VARIABLE: Final = "VQCODEC_RUNTIME"
"""Environment variable that may say "torch", so that the fast runtime is left alone."""


def has_fast_runtime(device: str) -> bool:
    """Returns whether networks run by OpenVINO and without torch: on the device "cpu", where it is installed and not switched off."""
    return device == "cpu" and os.environ.get(RUNTIME_VARIABLE) != "torch" and find_spec("openvino") is not None
