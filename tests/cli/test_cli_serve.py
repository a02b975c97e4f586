"""Checks `vqcodec serve` as a process: pictures, hostile uploads after which it goes on, and its end."""

import hashlib
import http.client
import json
import re
import shutil
import socket
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

import vqcodec
from tests.cli.conftest import run
from tests.conftest import make_picture
from tests.serving import Served, served

pytestmark = pytest.mark.skipif(find_spec("starlette") is None or find_spec("uvicorn") is None, reason="needs the extra `web`")

MAX_BYTES = 1_000_000


@pytest.fixture(scope="module")
def server(models_root: Path) -> Iterator[Served]:
    with served(models_root, "--max-upload", "1M", "--max-pixels", 100_000) as running:
        yield running


def png(pixels: np.ndarray) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def bomb(width: int, height: int) -> bytes:
    """Returns a PNG of a few bytes that states a large size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (header, b"IDAT" + zlib.compress(bytes(100)), b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


def memory_kib(server: Served) -> int:
    """Returns the most memory that the server has had, without its worker; 0 where the system does not tell it."""
    status = Path(f"/proc/{server.process.pid}/status")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) if status.exists() else 0


def refusal(server: Served, data: bytes) -> str:
    """Returns the one line in which an upload is refused."""
    last = server.work(server.upload(data))[-1]
    assert last["event"] == "failed" and "\n" not in last["message"]
    return str(last["message"])


def test_a_photo_is_encoded_and_its_files_can_be_had(server: Served, small_model: str) -> None:
    pixels = make_picture(120, 80)
    file = server.upload(png(pixels))
    last = server.work(file, quality=60)[-1]
    assert last["event"] == "done"
    status, data = server.request("GET", f"/files/{file}/{last['facts']['vq']}")
    assert status == 200 and data == vqcodec.encode(pixels, model=small_model, quality=60)
    assert server.work(server.upload(data))[-1]["facts"]["num_bytes"] == len(data)
    assert server.work(file, "peer", peer="jpeg", num_bytes=2000)[-1]["facts"]["num_bytes"] <= 2000
    assert "heat" in server.work(file, "inside", quality=60)[-1]["facts"]


def test_the_page_and_its_files_are_there_and_nothing_else(server: Served) -> None:
    page = server.request("GET", "/")[1].decode()
    for path in ("/about", *(f"/assets/{name}" for name in ("base.css", "page.css", "tools.js", "stage.js", "page.js"))):
        assert path == "/about" or f'"{path}"' in page
        assert server.request("GET", path)[0] == 200
    for path in ("/assets/page.html", "/assets/..%2fapp.py", "/assets/../app.py", "/files/none/upload", "/x"):
        assert server.request("GET", path)[0] == 404
    assert server.request("GET", "/", Host="evil.example")[0] == 403
    assert server.request("POST", "/files", b"x", Origin="http://evil.example")[0] == 403


def test_hostile_uploads_are_refused_in_a_line_and_the_page_goes_on(server: Served) -> None:
    assert server.request("POST", "/files", b"") == (400, b'{"error":"the file is empty"}')
    assert "not a picture of a known format" in refusal(server, b"This is text.")
    assert "<script>" not in refusal(server, b"<script>alert(1)</script>")
    assert "picture of 12000x12000 pixels, expected" in refusal(server, bomb(12000, 12000))
    assert "exceeds limit" in refusal(server, bomb(100_000, 100_000))
    assert "picture of 400x300 pixels" in refusal(server, png(make_picture(400, 300)))
    out = BytesIO()
    Image.fromarray(make_picture(200, 150)).save(out, "JPEG")
    assert "truncated" in refusal(server, out.getvalue()[:1500])
    assert "small-test" in refusal(server, vqcodec.encode(make_picture(16, 16)))
    assert "file ends" in refusal(server, b"\x89VQ\x04")
    for width, height in ((1, 1), (10000, 8), (5, 9000)):
        facts = server.work(server.upload(png(make_picture(width, height))))[-1]["facts"]
        assert (facts["width"], facts["height"]) == (width, height)


def test_bytes_are_counted_as_they_come(server: Served) -> None:
    assert server.request("POST", "/files", bytes(MAX_BYTES + 1))[0] == 413
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.putrequest("POST", "/files")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        before = memory_kib(server)
        for _ in range(0, 100 * MAX_BYTES, 100_000):
            connection.send(b"186a0\r\n" + bytes(100_000) + b"\r\n")
        connection.send(b"0\r\n\r\n")
        answer = connection.getresponse()
        assert answer.status == 413 and b"more than 1,000,000 bytes" in answer.read()
        assert memory_kib(server) - before < 20_000
    assert server.request("GET", "/about")[0] == 200


def test_requests_that_make_no_sense(server: Served) -> None:
    file = server.upload(png(make_picture(20, 20)))
    for body in (b"", b"{", b"[" * 4000, b'{"quality": 1e999}', b'{"tune": "x"}', b"\xff", b" " * 5000):
        status, answer = server.request("POST", f"/files/{file}/code", body)
        assert status == 400 and json.loads(answer)["error"].startswith("the request cannot be understood")
    assert server.request("POST", f"/files/{file}/nothing", b"{}")[0] == 400
    assert server.request("POST", "/files/unknown/code", b"{}")[0] == 404
    assert server.request("HEAD", "/files/unknown/upload") == (404, b"") and server.request("HEAD", f"/files/{file}/upload") == (200, b"")
    assert server.request("PUT", "/files", b"x")[0] == 405


def test_uploads_and_requests_that_are_given_up_block_nothing(server: Served) -> None:
    for _ in range(6):
        with socket.create_connection(("127.0.0.1", server.port)) as half:
            half.sendall(b"POST /files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf of it")
    file = server.upload(png(make_picture(300, 300)))
    request = f"POST /files/{file}/code HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{{}}"
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port)) as gone:
            gone.sendall(request.encode())
            assert gone.recv(1)
    assert server.work(file)[-1]["event"] == "done"


def test_a_model_with_a_part_that_is_missing_is_told_by_every_request(models_root: Path, tmp_path: Path) -> None:
    shutil.copytree(models_root / "small-test", folder := tmp_path / "small-test")
    tensors = safetensors.numpy.load_file(folder / "weights.safetensors")
    del tensors["autoencoder.encoder_blocks.0.conv_1.bias"]
    data = safetensors.numpy.save(tensors)
    (folder / "weights.safetensors").write_bytes(data)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"weights_sha256": hashlib.sha256(data).hexdigest()}))
    with served(tmp_path) as running:
        for _ in range(2):
            assert "there is no tensor encoder_blocks.0.conv_1.bias" in refusal(running, png(make_picture(20, 20)))


def test_what_cannot_be_worked_with_is_told_before_listening(models_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def listen(*_: object) -> None:
        raise AssertionError("it listens")

    monkeypatch.setattr("vqcodec.serve.server.listen", listen)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    shutil.copytree(models_root / "small-test", damaged := tmp_path / "small-test")
    weights = damaged / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    for options, message in ((("--device", "cuda"), "device cuda was asked for, but "), (("-m", damaged), f"{weights}: sha256 is ")):
        result = run("serve", *options)
        assert result.exit_code == 1 and result.stderr.startswith(f"vqcodec: {message}") and len(result.stderr.splitlines()) == 1


def test_interrupting_it_ends_it_in_the_middle_of_work(models_root: Path) -> None:
    with served(models_root) as running:
        file = running.upload(png(make_picture(2000, 1500)))
        with running.working(file):
            said = running.interrupt()
        assert said == "vqcodec: interrupted\n"
        assert running.process.returncode == 130


def test_a_server_that_is_killed_takes_its_worker_with_it_and_neither_says_a_word(models_root: Path) -> None:
    with served(models_root) as running:
        file = running.upload(png(make_picture(2000, 1500)))
        with running.working(file):
            running.process.kill()
            assert running.process.communicate(timeout=20)[1] == ""  # which waits for all that could still write to it


def test_what_cannot_be_served_is_told_at_once(small_model: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("serve", "-m", small_model, "--port", taken.getsockname()[1])
    assert result.exit_code == 1 and "cannot listen at 127.0.0.1" in result.stderr and len(result.stderr.splitlines()) == 1
    for options, message in ((("--host", "no.such.host.invalid"), "cannot listen"), (("-m", "no-model"), "no-model")):
        result = run("serve", *options)
        assert result.exit_code == 1 and message in result.stderr
