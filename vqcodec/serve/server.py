"""Runs the web server until it is interrupted."""

import asyncio
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from vqcodec.errors import VqcodecError
from vqcodec.serve.app import Application, Limits
from vqcodec.serve.jobs import Jobs
from vqcodec.serve.process import Settings, WorkerProcess

_MAX_CONNECTIONS = 100


class _Server(uvicorn.Server):
    """A server that ends at once, and the worker with it."""

    def __init__(self, config: uvicorn.Config, jobs: Jobs) -> None:
        super().__init__(config)
        self.jobs = jobs

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ends without waiting for requests that are being answered."""
        self.jobs.kill()
        self.force_exit = True
        super().handle_exit(sig, frame)


def listen(host: str, port: int) -> socket.socket:
    """Returns a socket that listens.

    Args:
        host: name or address.
        port: port; 0 for a free one.

    Raises:
        VqcodecError: The address is unknown or taken.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise VqcodecError(f"cannot listen at {host}, port {port}: {reason.lower()}") from error


def address(sock: socket.socket, host: str) -> str:
    """Returns the address of the page for a browser on this machine."""
    named = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{named}:{sock.getsockname()[1]}/"


def serve(sock: socket.socket, host: str, settings: Settings, limits: Limits, about: dict[str, Any], on_ready: Callable[[], None]) -> None:
    """Serves the page until SIGINT or SIGTERM, which is raised again when all has ended.

    Args:
        sock: socket that listens.
        host: name by which it may be called, beside addresses.
        settings: what the worker process is started with.
        limits: what is let in.
        about: what the page is told of the server.
        on_ready: function that is called when the worker process has been started.
    """

    async def run() -> None:
        jobs = Jobs(lambda on_event: WorkerProcess(settings, on_event))
        names = (host, socket.gethostname(), f"{socket.gethostname()}.local")
        config = uvicorn.Config(
            Application(jobs, limits, about).starlette(names),
            log_config=None,
            access_log=False,
            log_level="error",  # what clients send wrong is told to them, not to the terminal
            lifespan="off",
            ws="none",
            server_header=False,
            limit_concurrency=_MAX_CONNECTIONS,
        )
        try:
            jobs.warm_up()
            on_ready()
            await _Server(config, jobs).serve([sock])
        finally:
            jobs.kill()

    asyncio.run(run())
