"""Runs the web server until it is interrupted."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from vqcodec.errors import VqcodecError
from vqcodec.serve.app import Application, Limits
from vqcodec.serve.jobs import Jobs
from vqcodec.serve.process import Settings, WorkerProcess
from vqcodec.serve.store import Store

_MAX_CONNECTIONS = 100
_REQUEST_S = 20.0
"""Seconds in which the head of a request must come."""
_TAKEN_S = 30.0
"""Seconds in which a client must take `_TAKEN_BYTES` of what there is for it, or all of it."""
_TAKEN_BYTES = 1 << 16
_ANSWER_S = 600.0
"""Seconds in which a client must have taken what there is for it."""
_SENDING_BYTES = 1 << 17
"""What the system may take of an answer before it is sent: it tells only in large steps how much of that is sent."""


class HurriedProtocol(H11Protocol):
    """HTTP for connections that are closed where the head of a request does not come in time, or where an answer is not taken in time.

    So neither silent clients nor those that read slowly or not at all keep others out, or answers in memory. Where there are as many
    connections as requests are refused at, a new one takes the place of the one that has waited longest for a request.
    """

    _deadline: asyncio.TimerHandle | None = None
    _look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Waits for the head of the first request."""
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SENDING_BYTES)
        transport.set_write_buffer_limits(high=0)  # so that writing is paused until all is taken, however little it is
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            self._make_room()
        self._set_deadline()

    def _make_room(self) -> None:
        """Closes the connection that has waited for a request for the longest time, if one waits that has taken its answers."""
        others = [other for other in self.connections if isinstance(other, HurriedProtocol) and other._look is None]
        waiting = [(other._deadline.when(), other) for other in others if other._deadline is not None]
        if waiting:
            _, longest = min(waiting, key=lambda entry: entry[0])
            longest._drop_deadline()  # so that the next new connection closes another one
            longest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits no more."""
        self._drop_deadline()
        self._drop_look()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Looks from time to time whether the client takes what the system could not send yet."""
        super().pause_writing()
        self._look_later(self.loop.time() + _ANSWER_S)

    def resume_writing(self) -> None:
        """Looks no more."""
        self._drop_look()
        super().resume_writing()

    def _look_later(self, end: float) -> None:
        self._look = self.loop.call_later(_TAKEN_S, self._cut_off_if_slow, self.transport.get_write_buffer_size(), end)

    def _cut_off_if_slow(self, bytes_before: int, end: float) -> None:
        """Cuts a client off that has taken too little, or takes too long; what is left for it is dropped."""
        if bytes_before - self.transport.get_write_buffer_size() < _TAKEN_BYTES or self.loop.time() >= end:
            self.transport.abort()
        else:
            self._look_later(end)

    def _drop_look(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def data_received(self, data: bytes) -> None:
        """Waits for the rest of the head of a request, or for what comes after a request that has been answered."""
        super().data_received(data)
        self._wait_for_request()

    def on_response_complete(self) -> None:
        """Waits for the head of the next request."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self._wait_for_request()

    def _wait_for_request(self) -> None:
        """Waits where no request is being answered, from the time on at which that began."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._drop_deadline()
        elif self._deadline is None:
            self._set_deadline()

    def _set_deadline(self) -> None:
        self._deadline = self.loop.call_later(_REQUEST_S, self.transport.close)

    def _drop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Server(uvicorn.Server):
    """A server that ends at once, and the worker with it."""

    def __init__(self, config: uvicorn.Config, jobs: Jobs) -> None:
        super().__init__(config)
        self.jobs = jobs

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ends without waiting for requests that are being answered, and without a word on them."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
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
        raise VqcodecError(f"cannot listen at {host}, port {port}: {_reason(error)}") from error


def _reason(error: OSError | UnicodeError) -> str:
    """Returns why it cannot be listened at an address, without the address, which the standard library repeats."""
    number = error.errno if isinstance(error, OSError) and not isinstance(error, socket.gaierror) else None
    if number == errno.EADDRINUSE:
        return "another program listens there; --port 0 takes a free one"
    reason = os.strerror(number) if number else getattr(error, "strerror", None) or str(error)
    return reason.lower()


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
        jobs = Jobs(lambda on_event: WorkerProcess(settings, on_event), Store(limits.kept_bytes))
        names = (host, socket.gethostname(), f"{socket.gethostname()}.local")
        config = uvicorn.Config(
            Application(jobs, limits, about).starlette(names),
            http=HurriedProtocol,
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
