"""The command `vqcodec serve`."""

import importlib.util
import ipaddress
import socket

import click

from vqcodec.cli.memory import check_memory
from vqcodec.cli.messages import tell
from vqcodec.cli.options import ByteCount, WholeNumber, device_option, examples, model_option
from vqcodec.errors import VqcodecError

_KEPT_BYTES = 512 << 20
"""Bytes of uploads, and of what was made of them, that are kept in memory; more where uploads may be larger than a quarter of it."""


@click.command(epilog=examples("serve", "serve --port 8080 --max-upload 16M"))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 lets in the whole network.")
@click.option("--port", type=WholeNumber(0, 65535), default=8000, show_default=True, help="Port to listen at; 0 takes a free one.")
@click.option("--max-upload", type=ByteCount(), default="64M", show_default=True, help="Most bytes of an upload.")
@click.option(
    "--max-pixels",
    type=WholeNumber(min=1),
    default=40_000_000,
    show_default=True,
    help="Most pixels of a picture, checked before any is decoded.",
)
@model_option
@device_option
def serve(host: str, port: int, max_upload: int, max_pixels: int, model: str, device: str) -> None:
    """Serve a page in which pictures are encoded and looked at.

    It takes photos and .vq files. Only programs on this machine reach it, unless --host says otherwise. Ctrl-C ends it.
    """
    if importlib.util.find_spec("starlette") is None or importlib.util.find_spec("uvicorn") is None:
        raise VqcodecError("the page needs the packages of the extra [web]: pip install 'vqcodec[web]'")
    check_memory()
    from vqcodec.models.devices import device_name
    from vqcodec.models.model import load_model
    from vqcodec.models.registry import find_model
    from vqcodec.serve.app import Limits
    from vqcodec.serve.process import Settings
    from vqcodec.serve.server import address, listen
    from vqcodec.serve.server import serve as serve_page

    config = find_model(model)
    if device == "cuda":
        device_name(device)
    load_model(config, "cpu")  # on any device the weights must be whole, and on a CPU they are read without torch
    sock = listen(host, port)
    if not _is_loopback(host):
        tell(f"everyone who reaches this machine can use the page, at {address(sock, socket.gethostname())} or by its address")
    about = {"model": config.id, "has_perceptual": config.perceptual_sha256 is not None}
    limits = Limits(max_upload, max_pixels, max(_KEPT_BYTES, 4 * max_upload))
    url = address(sock, host)
    serve_page(sock, host, Settings(model, device, max_pixels), limits, about, lambda: tell(f"{url} (Ctrl-C ends it)"))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
