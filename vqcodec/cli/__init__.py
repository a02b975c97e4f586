"""The command line: `vqcodec`. Parses, calls the package, prints; torch is imported only inside the commands that need it."""

from vqcodec.cli.main import main

__all__ = ["main"]
