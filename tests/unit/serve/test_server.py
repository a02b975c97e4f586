"""Checks how connections are listened for, and that silent and slow ones end."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

import pytest

from vqcodec.errors import VqcodecError

pytestmark = pytest.mark.skipif(find_spec("uvicorn") is None, reason="needs uvicorn (extra `web`)")

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@asynccontextmanager
async def connected(
    answer: bytes, receive_bytes: int = 0, limit: int | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, set[Any]]]:
    """Connects to a server of one answer; yields the two ends of the connection, and the connections that the server has.

    Args:
        answer: the answer.
        receive_bytes: about how much the system of the client takes before it is read; 0 for what it takes by default.
        limit: connections at which requests are refused.
    """
    import uvicorn
    from starlette.responses import Response
    from uvicorn.server import ServerState

    from vqcodec.serve.server import HurriedProtocol

    config = uvicorn.Config(Response(answer), log_config=None, http=HurriedProtocol, timeout_keep_alive=60, limit_concurrency=limit)
    config.load()
    loop, state = asyncio.get_running_loop(), ServerState()
    listening = await loop.create_server(lambda: HurriedProtocol(config, state, {}), "127.0.0.1", 0)
    client = socket.socket()
    if receive_bytes:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    client.setblocking(False)
    await loop.sock_connect(client, listening.sockets[0].getsockname())
    reader, writer = await asyncio.open_connection(sock=client, limit=1 << 10)
    yield reader, writer, state.connections
    writer.close()
    listening.close()


@pytest.mark.parametrize(
    ("sent", "then"),
    [(b"", b""), (REQUEST, b""), (REQUEST + b"\r\n", REQUEST), (CHUNKED, b"1\r\nx\r\n")],
    ids=["nothing", "half a head", "half a head after an answer", "a body after an answer"],
)
def test_a_connection_on_which_no_whole_request_comes_is_closed(sent: bytes, then: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    from vqcodec.serve import server as server_module

    monkeypatch.setattr(server_module, "_REQUEST_S", 0.2)

    async def test() -> None:
        async with connected(b"in") as (reader, writer, _):
            writer.write(sent)
            if then:
                await reader.readuntil(b"\r\n\r\nin")
            writer.write(then)
            assert await asyncio.wait_for(reader.read(), 20) == b""

    asyncio.run(test())


@pytest.mark.parametrize("sent", [b"", REQUEST, REQUEST + b"\r\n"], ids=["nothing", "half a head", "an answered request"])
def test_connections_without_requests_make_room_for_a_new_one(sent: bytes) -> None:
    async def test() -> None:
        async with connected(b"in", limit=4) as (reader, writer, connections):
            address = writer.get_extra_info("peername")
            others = [await asyncio.open_connection(*address) for _ in range(7)]
            for _, other in others:
                other.write(sent)
            await asyncio.sleep(0.1)
            assert len(connections) == 3
            assert await asyncio.wait_for(reader.read(), 20) == b""  # the first
            new, asking = await asyncio.open_connection(*address)
            asking.write(REQUEST + b"\r\n")
            assert (await new.readuntil(b"in")).startswith(b"HTTP/1.1 200")
            for other in (asking, *(other for _, other in others)):
                other.close()

    asyncio.run(test())


def test_a_connection_whose_answer_is_not_taken_yet_makes_no_room() -> None:
    async def test() -> None:
        async with connected(bytes(30_000_000), receive_bytes=1 << 14, limit=2) as (reader, writer, connections):
            writer.write(REQUEST + b"\r\n")
            await reader.readline()
            (first,) = connections
            new, asking = await asyncio.open_connection(*writer.get_extra_info("peername"))
            asking.write(REQUEST + b"\r\n")
            assert (await new.readline()).startswith(b"HTTP/1.1 503")
            assert first in connections
            asking.close()

    asyncio.run(test())


@pytest.mark.parametrize(
    ("limits", "read_bytes"),
    [({"_TAKEN_S": 0.1}, 0), ({"_TAKEN_S": 0.1}, 1), ({"_TAKEN_S": 0.1, "_TAKEN_BYTES": 0, "_ANSWER_S": 0.3}, 1 << 14)],
    ids=["never", "a byte at a time", "for too long"],
)
def test_a_client_that_does_not_take_its_answer_in_time_is_cut_off(
    limits: dict[str, float], read_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vqcodec.serve import server as server_module

    for name, limit in limits.items():
        monkeypatch.setattr(server_module, name, limit)

    async def test() -> None:
        async with connected(bytes(30_000_000), receive_bytes=1 << 14) as (reader, writer, connections):
            writer.write(REQUEST + b"\r\n")
            await reader.readline()
            assert connections
            num_bytes = 0
            async with asyncio.timeout(20):
                while connections:
                    num_bytes += len(await reader.read(read_bytes)) if read_bytes else 0
                    await asyncio.sleep(0.01)
            assert num_bytes < 30_000_000

    asyncio.run(test())


def test_a_client_that_takes_its_answers_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from vqcodec.serve import server as server_module

    monkeypatch.setattr(server_module, "_TAKEN_S", 0.2)
    monkeypatch.setattr(server_module, "_TAKEN_BYTES", 1)

    async def test() -> None:
        async with connected(bytes(5_000_000), receive_bytes=1 << 14) as (reader, writer, connections):
            for _ in range(2):
                writer.write(REQUEST + b"\r\n")
                await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(5_000_000) == bytes(5_000_000)
                await asyncio.sleep(0.5)  # some looks later
                assert connections

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
