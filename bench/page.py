"""Draws the page of vqcodec serve as a browser shows it."""

import re
import shutil
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Final

import click
import skimage.data
from PIL import Image

from bench.images import RESULTS
from vqcodec.errors import VqcodecError

_SIZE: Final = {"width": 1000, "height": 700}
_QUALITY: Final = 30
_WAIT_MS: Final = 300_000


def draw_page(model: str) -> None:
    """Writes bench/results/plots/page.webp: the page with a photo beside a JPEG file of as many bytes.

    Raises:
        VqcodecError: Chromium is not installed, or the page cannot be served.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise VqcodecError("drawing the page needs Chromium: apt-get install chromium")
    command = [sys.executable, "-m", "vqcodec", "serve", "--port", "0", "-m", model]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server, tempfile.TemporaryDirectory() as folder:
        try:
            assert server.stderr is not None
            told = server.stderr.readline()
            found = re.search(r"http://\S+", told)
            if found is None:
                raise VqcodecError(told.strip())
            photo = Path(folder) / "astronaut.png"
            Image.fromarray(skimage.data.astronaut()).save(photo)  # type: ignore[no-untyped-call]
            shot = _shot(chromium, found[0], photo, Path(folder) / "profile")
        finally:
            server.terminate()
    out = RESULTS / "plots" / "page.webp"
    Image.open(BytesIO(shot)).convert("RGB").save(out, quality=80, method=6)
    click.echo(out)


def _shot(chromium: str, url: str, photo: Path, profile: Path) -> bytes:
    """Returns a PNG of the page with a photo, when all of its work is done."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu"]
        context = playwright.chromium.launch_persistent_context(profile, executable_path=chromium, args=options, viewport=_SIZE)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(url)
        page.get_by_label("Quality").fill(str(_QUALITY))
        page.set_input_files("#file", photo)
        page.wait_for_selector("#viewer table", timeout=_WAIT_MS)
        page.get_by_label("Left picture").select_option("jpeg")
        page.get_by_text("JPEG, quality").wait_for(timeout=_WAIT_MS)
        page.wait_for_selector("#status", state="hidden")
        page.wait_for_selector(".layer.left img[alt*=JPEG]")
        page.get_by_role("heading").click()  # takes the focus from what was used
        box = page.locator("#viewer").bounding_box()
        assert box is not None
        clip = {"x": 0, "y": 0, "width": _SIZE["width"], "height": box["y"] + box["height"]}
        shot = page.screenshot(full_page=True, clip=clip)  # type: ignore[arg-type]
        context.close()
        return shot
