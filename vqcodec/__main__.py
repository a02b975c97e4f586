"""`python -m vqcodec` and the script `vqcodec`: the command line."""

import signal


def main() -> None:
    """Runs the command line. Until it is loaded, Ctrl-C ends the process at once, without a traceback."""
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from vqcodec.cli import main as command

    signal.signal(signal.SIGINT, handler)
    command(prog_name="vqcodec")


if __name__ == "__main__":
    main()
