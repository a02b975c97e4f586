"""The worker as a process of its own: it holds the model, and what it does to a picture cannot take the server with it."""

import logging
import multiprocessing
import os
import signal
import threading
import warnings
from contextlib import suppress
from ctypes import c_long
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from vqcodec.errors import VqcodecError, is_lack_of_memory
from vqcodec.serve.jobs import OnEvent
from vqcodec.serve.protocol import Done, Event, Failed, Progress, Task


@dataclass(frozen=True)
class Settings:
    """What a worker is started with.

    Attributes:
        model: id or folder of the model.
        device: device of the networks.
        max_pixels: most pixels of a picture.
    """

    model: str
    device: str
    max_pixels: int


class WorkerProcess:
    """A worker that runs in a process of its own.

    Args:
        settings: what it is started with.
        on_event: function that is told what it says, in a thread.
    """

    def __init__(self, settings: Settings, on_event: OnEvent) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, other_end = context.Pipe()
        self._cancelled = context.RawValue(c_long, 0)
        self._process = context.Process(target=_work, args=(settings, other_end, self._cancelled), daemon=True)
        self._process.start()
        other_end.close()
        threading.Thread(target=self._listen, args=(on_event,), daemon=True).start()

    def send(self, number: int, task: Task) -> None:
        """Gives it a task, by a thread, since the process may not listen yet."""
        threading.Thread(target=self._send, args=(number, task), daemon=True).start()

    def cancel(self, number: int) -> None:
        """Asks it to give up the task of a number."""
        self._cancelled.value = number

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()

    def _send(self, number: int, task: Task) -> None:
        try:
            self._connection.send((number, task))
        except OSError:
            return  # it has ended, which the thread that listens tells

    def _listen(self, on_event: OnEvent) -> None:
        try:
            while True:
                on_event(self._connection.recv())
        except (EOFError, OSError):
            self._process.kill()
            self._process.join()
        try:
            on_event(None)
        except RuntimeError:
            return  # the event loop has ended, and nobody waits


class _CancelledError(Exception):
    """A task that nobody waits for any more."""


def _end_with_server() -> None:
    """Ends this process as soon as the server has ended, in whatever way."""
    server = multiprocessing.parent_process()
    assert server is not None
    wait([server.sentinel])
    os._exit(1)


def _work(settings: Settings, connection: Connection, cancelled: Any) -> None:
    """Works on the tasks that come until the server is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the server too, which ends this process
    threading.Thread(target=_end_with_server, daemon=True).start()
    warnings.simplefilter("ignore")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    try:
        from vqcodec.serve.tasks import Studio

        studio: Studio | None = None
        with suppress(VqcodecError):  # which every task tells then
            studio = Studio(settings.model, settings.device, settings.max_pixels)
            studio.warm_up()
        while True:
            number, task = connection.recv()

            def tell(event: Event, number: int = number) -> None:
                if isinstance(event, Progress) and cancelled.value == number:
                    raise _CancelledError
                connection.send(event)

            try:
                studio = studio or Studio(settings.model, settings.device, settings.max_pixels)
                event: Event = Done(studio.work(task, tell))
            except _CancelledError:
                event = Failed("cancelled")
            except VqcodecError as error:
                event = Failed(" ".join(str(error).split()).removeprefix("picture: "))
            except Exception as error:  # whatever a picture causes, the page goes on
                if not is_lack_of_memory(error):
                    logging.getLogger("vqcodec").exception("a request failed")
                event = Failed(
                    "out of memory" if is_lack_of_memory(error) else f"an unexpected {type(error).__name__}; the terminal tells it"
                )
            connection.send(event)
    except (EOFError, OSError):
        return
