"""Whether a limit leaves this process enough memory to load torch, which would end it with an abort otherwise."""

from typing import Final

from vqcodec.errors import VqcodecError

_LEAST_BYTES: Final = 700 << 20
"""Address space below which torch's libraries cannot be loaded."""


def check_memory() -> None:
    """Checks the limit on the address space of this process, as `ulimit -v` sets it.

    Raises:
        VqcodecError: The limit is too low for torch.
    """
    try:
        import resource
    except ImportError:
        return  # a system without such limits
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit not in (-1, resource.RLIM_INFINITY) and limit < _LEAST_BYTES:
        raise VqcodecError(f"out of memory: the limit of {limit >> 20} MiB is too low, expected {_LEAST_BYTES >> 20} MiB at least")
