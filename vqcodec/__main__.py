"""`python -m vqcodec` and the script `vqcodec`: the command line."""

import io
import signal
import sys


def main() -> None:
    """Runs the command line. Until it is loaded, Ctrl-C ends the process at once, without a traceback.

    What the encoding of standard output lacks of a name is escaped, as Python does it on standard error.
    """
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from vqcodec.cli import main as command

    signal.signal(signal.SIGINT, handler)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
    command(prog_name="vqcodec")


if __name__ == "__main__":
    main()
