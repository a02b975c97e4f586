"""What runs the networks: the fast runtime on a CPU where it is installed, else torch."""

import os
import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

RUNTIME_VARIABLE: Final = "VQCODEC_RUNTIME"
"""Environment variable that may say "torch", so that the fast runtime is left alone."""

_TOOLS: Final = "openvino.tools.ovc"


class _Fork:
    """Whether this process was forked from one that had OpenVINO."""

    has_openvino = False


def has_fast_runtime(device: str) -> bool:
    """Returns whether networks run by OpenVINO and without torch.

    They do on the device "cpu", where it is installed and not switched off, and where this process was not forked from one that has
    imported it: threads are not forked with a process, and OpenVINO may wait for its own for ever.
    """
    is_usable = device == "cpu" and os.environ.get(RUNTIME_VARIABLE) != "torch" and not _Fork.has_openvino
    return is_usable and find_spec("openvino") is not None


def import_openvino() -> Any:
    """Imports OpenVINO without its tools that convert networks.

    Their import takes longer than that of all the rest, and sends a report of itself to Google Analytics. OpenVINO goes without them where
    they cannot be imported. Whoever needs them can import `openvino.tools.ovc` afterwards.
    """
    _watch_forks()
    if "openvino" in sys.modules or _TOOLS in sys.modules:
        return import_module("openvino")
    sys.modules[_TOOLS] = None  # type: ignore[assignment]
    try:
        return import_module("openvino")
    finally:
        del sys.modules[_TOOLS]


@cache
def _watch_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_note_fork)


def _note_fork() -> None:
    _Fork.has_openvino = True
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)  # its threads are not forked, either
