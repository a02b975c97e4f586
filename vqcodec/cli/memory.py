"""Whether a limit leaves this process enough memory to load its libraries, which would end it with an abort otherwise."""

from typing import Final

from vqcodec.errors import VqcodecError

_LEAST_BYTES: Final = 500 << 20
"""Address space below which OpenVINO decodes nothing."""
_LEAST_TORCH_BYTES: Final = 700 << 20
"""Address space below which torch's libraries cannot be loaded."""


def check_memory(*, needs_torch: bool = True) -> None:
    """Checks the limit on the address space of this process, as `ulimit -v` sets it.

    Args:
        needs_torch: whether the command runs torch.

    Raises:
        VqcodecError: The limit is too low.
    """
    least = _LEAST_TORCH_BYTES if needs_torch else _LEAST_BYTES
    try:
        import resource
    except ImportError:
        return  # a system without such limits
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit not in (-1, resource.RLIM_INFINITY) and limit < least:
        raise VqcodecError(f"out of memory: the limit of {limit >> 20} MiB is too low, expected {least >> 20} MiB at least")
