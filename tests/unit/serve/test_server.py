"""Checks how connections are listened for, and that silent ones end."""

import asyncio
import socket
from importlib.util import find_spec

import pytest

from vqcodec.errors import VqcodecError

pytestmark = pytest.mark.skipif(find_spec("uvicorn") is None, reason="needs uvicorn (extra `web`)")

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "then"),
    [(b"", b""), (REQUEST, b""), (REQUEST + b"\r\n", REQUEST), (CHUNKED, b"1\r\nx\r\n")],
    ids=["nothing", "half a head", "half a head after an answer", "a body after an answer"],
)
def test_a_connection_on_which_no_whole_request_comes_is_closed(sent: bytes, then: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    import uvicorn
    from starlette.responses import PlainTextResponse
    from uvicorn.server import ServerState

    from vqcodec.serve import server as server_module

    monkeypatch.setattr(server_module, "_REQUEST_S", 0.2)

    async def test() -> None:
        config = uvicorn.Config(PlainTextResponse("in"), log_config=None, http=server_module.HurriedProtocol, timeout_keep_alive=60)
        config.load()
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(lambda: server_module.HurriedProtocol(config, ServerState(), {}), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        writer.write(sent)
        if then:
            await reader.readuntil(b"\r\n\r\nin")
        writer.write(then)
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()
        listening.close()

    asyncio.run(test())


def test_a_taken_port_and_an_unknown_name_are_told_once() -> None:
    from vqcodec.serve.server import listen

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(VqcodecError) as told:
            listen("127.0.0.1", port)
    assert str(told.value) == f"cannot listen at 127.0.0.1, port {port}: another program listens there; --port 0 takes a free one"
    with pytest.raises(VqcodecError, match=r"cannot listen at 192\.0\.2\.1, port 0: cannot assign requested address$"):
        listen("192.0.2.1", 0)
