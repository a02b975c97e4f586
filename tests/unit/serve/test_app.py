"""Checks bodies of which nothing comes, or too little."""

import asyncio
import json
from importlib.util import find_spec
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(find_spec("starlette") is None, reason="needs starlette (extra `web`)")


@pytest.mark.parametrize(("limit", "pause_s"), [("_SILENCE_S", 60.0), ("_BODY_S", 0.01)])
@pytest.mark.parametrize(
    ("path", "answer"), [("/files", (408, "the upload took too long")), ("/files/{file}/code", (400, "the request was given up"))]
)
def test_a_body_that_comes_too_slowly_is_given_up(
    path: str, answer: tuple[int, str], limit: str, pause_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vqcodec.serve import app as app_module
    from vqcodec.serve.jobs import Jobs
    from vqcodec.serve.store import Store

    monkeypatch.setattr(app_module, limit, 0.05)
    sent: list[Any] = []
    pauses = iter([0.0])

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(next(pauses, pause_s))
        return {"type": "http.request", "body": b"{", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    def no_worker(on_event: object) -> Any:
        raise AssertionError(on_event)

    application = app_module.Application(Jobs(no_worker, Store(1000)), app_module.Limits(1000, 1000, 1000), {})
    path = path.format(file=application.store.add_upload(b"x"))
    scope = {"type": "http", "method": "POST", "path": path, "headers": [(b"host", b"localhost")]}
    asyncio.run(application.starlette()(scope, receive, send))
    assert (sent[0]["status"], json.loads(sent[1]["body"])["error"]) == answer
