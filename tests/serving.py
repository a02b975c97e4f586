"""A running `vqcodec serve` for tests, and a client that speaks to it."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Served:
    """A server in a process of its own.

    Attributes:
        process: the process.
        port: port that it listens at.
    """

    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self.port}/"

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        """Returns status and body of an answer."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)) as connection:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def upload(self, data: bytes) -> str:
        """Sends a file and returns its id."""
        status, body = self.request("POST", "/files", data)
        assert status == 200, body
        return str(json.loads(body)["file"])

    def work(self, file: str, kind: str = "code", **options: Any) -> list[dict[str, Any]]:
        """Returns what is said of a task."""
        status, body = self.request("POST", f"/files/{file}/{kind}", json.dumps(options))
        assert status == 200, body
        return [json.loads(line) for line in body.splitlines()]

    @contextmanager
    def working(self, file: str) -> Iterator[None]:
        """Asks for the .vq file of a picture, and goes on once the server is in the middle of that; gives it up at the end."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("POST", f"/files/{file}/code", "{}")
            with closing(connection.getresponse()) as answer:
                assert answer.readline()
                yield

    def interrupt(self) -> str:
        """Ends the server by Ctrl-C, and returns what it had said since it was ready."""
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=60)[1]


@contextmanager
def served(models_root: Path, *options: object) -> Iterator[Served]:
    """Runs the server of the model `small-test`, which must end by itself or by a signal."""
    command = [sys.executable, "-m", "vqcodec", "serve", "-m", "small-test", "--port", "0", "--device", "cpu", *map(str, options)]
    environment = {**os.environ, "VQCODEC_MODELS": str(models_root)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.fullmatch(r"vqcodec: http://127\.0\.0\.1:(\d+)/ \(Ctrl-C ends it\)\n", line)
        assert found, line + process.stderr.read()
        yield Served(process, int(found[1]))
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
