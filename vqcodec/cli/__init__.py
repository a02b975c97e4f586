"""The command line `vqcodec`: parses arguments, calls the package and prints. The command `vqcodec NAME` is in the module NAME.

Torch, NumPy and Pillow are imported when a command that needs them runs, so that `--help` and `--version` start at once.
"""

from vqcodec.cli.main import main

__all__ = ["main"]
