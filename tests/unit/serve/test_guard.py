"""Checks which requests are let in: by address or own name, and from the own page."""

import asyncio
from importlib.util import find_spec
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(find_spec("starlette") is None, reason="needs starlette (extra `web`)")


def answer(method: str, headers: dict[str, str]) -> tuple[int, dict[str, str]]:
    """Returns status and headers of an answer to a request."""
    from starlette.responses import PlainTextResponse

    from vqcodec.serve.guard import Guard

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": "/", "headers": [(k.encode(), v.encode()) for k, v in headers.items()]}
    asyncio.run(Guard(PlainTextResponse("in"), ["Photos.local"])(scope, None, send))  # type: ignore[arg-type]
    return sent[0]["status"], {key.decode(): value.decode() for key, value in sent[0]["headers"]}


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "192.168.1.7:80", "[::1]:8000", "photos.local:8000"])
def test_own_names_and_addresses_are_let_in(host: str) -> None:
    assert answer("GET", {"host": host})[0] == 200


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "[::1", "a:b:c"]
)
def test_a_name_that_was_rebound_is_refused(host: str) -> None:
    assert answer("GET", {"host": host})[0] == 403
    assert answer("GET", {})[0] == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://localhost:8000", "sec-fetch-site": "same-origin"}, 200),
        ({"origin": "http://localhost:9000", "sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
    ],
)
def test_pages_of_other_sites_change_nothing(headers: dict[str, str], status: int) -> None:
    assert answer("POST", {"host": "localhost:8000", **headers})[0] == status


@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_every_answer_has_the_headers(host: str) -> None:
    headers = answer("GET", {"host": host})[1]
    assert headers["content-security-policy"].startswith("default-src 'none';") and "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers
