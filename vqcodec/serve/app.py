"""The web application: its page, uploads, tasks whose progress is streamed, and the files that they make."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from vqcodec.serve.guard import Guard
from vqcodec.serve.jobs import Jobs
from vqcodec.serve.protocol import Done, Event, Failed, Made, Task
from vqcodec.serve.store import Blob

_ASSETS: Final = {
    "": ("vqcodec.serve", "page.html", "text/html"),
    "base.css": ("vqcodec.compare", "base.css", "text/css"),
    "page.css": ("vqcodec.serve", "page.css", "text/css"),
    "tools.js": ("vqcodec.compare", "tools.js", "text/javascript"),
    "stage.js": ("vqcodec.compare", "stage.js", "text/javascript"),
    "page.js": ("vqcodec.serve", "page.js", "text/javascript"),
}
"""Package, name and type of each file of the page."""

_MAX_OPTIONS_BYTES: Final = 4096
_MAX_UPLOADS: Final = 4
"""Most uploads that come in at a time."""
_BODY_S: Final = 600.0
"""Seconds that the body of a request may take."""
_SILENCE_S: Final = 30.0
"""Seconds after which a body of which nothing comes is given up."""
_LOOK_S: Final = 0.5
"""Seconds between looks at whether a browser still waits."""


@dataclass(frozen=True)
class Limits:
    """What is let in.

    Attributes:
        max_upload_bytes: most bytes of an upload, counted as they come.
        max_pixels: most pixels of a picture.
        kept_bytes: most bytes of uploads and of what was made of them that are kept in memory, the upload that was used last aside.
    """

    max_upload_bytes: int
    max_pixels: int
    kept_bytes: int


class TooLargeError(Exception):
    """A body with more bytes than are let in."""


class Application:
    """What the routes do.

    Args:
        jobs: the queue of tasks.
        limits: what is let in.
        about: what the page is told of the server, in the types of JSON.
    """

    def __init__(self, jobs: Jobs, limits: Limits, about: dict[str, Any]) -> None:
        self.jobs = jobs
        self.limits = limits
        self.about = {**asdict(limits), **about}
        self.store = jobs.store
        self._num_uploads = 0
        self._assets = {
            name: Blob(media_type, resources.files(package).joinpath(file).read_bytes())
            for name, (package, file, media_type) in _ASSETS.items()
        }

    def starlette(self, names: tuple[str, ...] = ()) -> Starlette:
        """Returns the application, which may be called by these names of the machine (`Guard`)."""
        routes = [
            Route("/", self.asset),
            Route("/assets/{name}", self.asset),
            Route("/about", self.tell_about),
            Route("/files", self.upload, methods=["POST"]),
            Route("/files/{file}/{kind}", self.work, methods=["POST"]),
            Route("/files/{file}/{name}", self.file),
        ]
        return Starlette(routes=routes, middleware=[Middleware(Guard, names=names)])

    async def asset(self, request: Request) -> Response:
        """Answers with a file of the page."""
        found = self._assets.get(request.path_params.get("name", ""))
        if found is None:
            return _refusal("no such file", 404)
        return Response(found.data, media_type=found.media_type, headers={"Cache-Control": "no-cache"})

    async def tell_about(self, request: Request) -> Response:  # noqa: ARG002 (of routes)
        """Answers with what the page must know of the server."""
        return JSONResponse(self.about, headers={"Cache-Control": "no-store"})

    async def upload(self, request: Request) -> Response:
        """Takes a file in, and answers with its id."""
        if self._num_uploads >= _MAX_UPLOADS:
            return _refusal("too many uploads at a time; try again", 503)
        self._num_uploads += 1
        try:
            data = await _body(request, self.limits.max_upload_bytes)
        except TooLargeError:
            return _refusal(f"the file has more than {self.limits.max_upload_bytes:,} bytes, the most that this page takes", 413)
        except TimeoutError:
            return _refusal("the upload took too long", 408)
        except ClientDisconnect:
            return _refusal("the upload was given up", 400)
        finally:
            self._num_uploads -= 1
        return _refusal("the file is empty", 400) if not data else JSONResponse({"file": self.store.add_upload(data)})

    async def work(self, request: Request) -> Response:
        """Does what is asked of a file, and answers with a line of JSON for everything that happens meanwhile."""
        file = request.path_params["file"]
        upload = self.store.begin(file)
        if upload is None:
            return _refusal("the file is not kept any more; send it again", 404)
        try:
            options = json.loads(await _body(request, _MAX_OPTIONS_BYTES))
            task = Task.of(request.path_params["kind"], file, upload, options)
        except (ValueError, TooLargeError, RecursionError) as error:
            return _refusal(f"the request cannot be understood: {error}", 400)
        except (ClientDisconnect, TimeoutError):
            return _refusal("the request was given up", 400)
        return StreamingResponse(self._events(request, task), media_type="application/x-ndjson", headers={"Cache-Control": "no-store"})

    async def _events(self, request: Request, task: Task) -> AsyncIterator[str]:
        job = self.jobs.submit(task)
        try:
            while True:
                try:
                    event = await asyncio.wait_for(job.events.get(), _LOOK_S)
                except TimeoutError:
                    if await request.is_disconnected():
                        return
                    continue
                yield json.dumps(_said(event)) + "\n"
                if isinstance(event, Done | Failed):
                    return
        finally:
            self.jobs.cancel(job)

    async def file(self, request: Request) -> Response:
        """Answers with a file that was made of an upload, or with the upload."""
        found = self.store.get(request.path_params["file"], request.path_params["name"])
        if found is None:
            return _refusal("the file is not kept any more", 404)
        return Response(found.data, media_type=found.media_type, headers={"Cache-Control": "private, max-age=3600"})


async def _body(request: Request, max_bytes: int) -> bytes:
    """Returns the body of a request, whose bytes are counted as they come.

    Raises:
        TooLargeError: It has more bytes.
        ClientDisconnect: It was given up.
        TimeoutError: It took too long, or nothing came of it for too long.
    """
    length = request.headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length) > max_bytes:
        raise TooLargeError(f"more than {max_bytes} bytes")
    body = bytearray()
    chunks = request.stream()
    async with asyncio.timeout(_BODY_S):
        while True:
            async with asyncio.timeout(_SILENCE_S):
                chunk = await anext(chunks, None)
            if chunk is None:
                return bytes(body)
            body += chunk
            if len(body) > max_bytes:
                raise TooLargeError(f"more than {max_bytes} bytes")


def _said(event: Event) -> dict[str, Any]:
    """Returns an event as the page is told of it; the bytes of a file are not said."""
    said = {"event": type(event).__name__.lower()}
    return said | ({"name": event.name} if isinstance(event, Made) else asdict(event))


def _refusal(message: str, status: int) -> JSONResponse:
    return JSONResponse({"error": message}, status, headers={"Cache-Control": "no-store"})
