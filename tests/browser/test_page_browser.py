"""Checks the page of `vqcodec serve` in Chromium: photos, .vq files, other codecs, maps, errors, keyboard, a phone's width."""

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import vqcodec
from tests.browser.conftest import NEEDS_BROWSER, quiet_page
from tests.conftest import make_picture
from tests.serving import Served, served

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

pytestmark = [
    *NEEDS_BROWSER,
    pytest.mark.skipif(find_spec("starlette") is None or find_spec("uvicorn") is None, reason="needs the extra `web`"),
]

HOSTILE_NAME = "<b>'\"é😀 &amp;.png"
SIZE = (160, 120)


@pytest.fixture(scope="module")
def server(models_root: Path) -> Iterator[Served]:
    with served(models_root, "--max-upload", "1M", "--max-pixels", 100_000) as running:
        yield running


@pytest.fixture
def page(server: Served, browser: "BrowserContext") -> Iterator["Page"]:
    """Yields the page, which is quiet and asks its own server alone."""
    with quiet_page(browser, lambda url: url.startswith(server.url)) as page:
        with page.expect_response("**/about"):
            page.goto(server.url)
        yield page


@pytest.fixture
def photo_file(tmp_path: Path) -> Path:
    path = tmp_path / HOSTILE_NAME
    Image.fromarray(make_picture(*SIZE)).save(path)
    return path


def choose(page: "Page", path: Path) -> None:
    page.set_input_files("#file", path)
    finished(page)


def finished(page: "Page") -> None:
    """Waits until nothing is being done."""
    page.wait_for_timeout(350)  # in which a changed setting has not counted yet
    page.wait_for_selector("#status", state="hidden")


def facts(page: "Page") -> dict[str, list[str]]:
    """Returns the rows of the table below the pictures."""
    rows = page.locator("#viewer tbody tr").all()
    return {row.locator("th").inner_text(): row.locator("td").all_inner_texts() for row in rows}


def test_a_photo_is_shown_beside_what_its_file_gives(page: "Page", photo_file: Path, small_model: str, tmp_path: Path) -> None:
    choose(page, photo_file)
    data = vqcodec.encode(photo_file, model=small_model)
    told = facts(page)
    assert told["Picture"] == ["Original", "vqcodec, quality 50"] and told["Bytes"][1] == f"{len(data):,}"
    assert told["Bits per pixel"][1] == f"{8 * len(data) / (SIZE[0] * SIZE[1]):.3f}" and float(told["PSNR, dB"][1]) > 10
    with page.expect_download() as download:
        page.get_by_text("Save the .vq file").click()
    assert Path(download.value.path()).read_bytes() == data and download.value.suggested_filename.endswith(".vq")
    with page.expect_download() as download:
        page.get_by_text("Save the picture as PNG").click()
    shutil.copy(download.value.path(), tmp_path / "saved.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "saved.png")), np.asarray(vqcodec.decode(data)))
    assert page.locator(".layer img").evaluate_all("pictures => pictures.map((one) => one.naturalWidth)") == [SIZE[0]] * 2


def test_settings_make_another_file(page: "Page", photo_file: Path, small_model: str) -> None:
    choose(page, photo_file)
    page.get_by_label("Quality").focus()
    page.keyboard.press("End")
    page.get_by_label("Tune").select_option("psnr")
    finished(page)
    assert facts(page)["Bytes"][1] == f"{len(vqcodec.encode(photo_file, model=small_model, quality=100, tune='psnr')):,}"
    assert page.locator("#quality-value").inner_text() == "100"
    assert page.get_by_label("Realism").is_disabled()  # of a model without a perceptual decoder


def test_other_codecs_stand_beside_it(page: "Page", photo_file: Path) -> None:
    choose(page, photo_file)
    for name, title in (("jpeg", "JPEG"), ("webp", "WebP"), ("avif", "AVIF")):
        page.get_by_label("Left picture").select_option(name)
        finished(page)
        told = facts(page)
        assert told["Picture"][0].startswith(f"{title}, quality ") and told["Picture"][1] == "vqcodec, quality 50"
        assert page.locator(".layer.left img").get_attribute("alt") == f"{HOSTILE_NAME}, {told['Picture'][0].replace(',', '')}"


def test_the_inside_of_a_vq_file(page: "Page", small_model: str, tmp_path: Path) -> None:
    data = vqcodec.encode(make_picture(*SIZE), model=small_model, quality=100, layers=False)
    (tmp_path / "photo.vq").write_bytes(data)
    choose(page, tmp_path / "photo.vq")
    assert facts(page)["Picture"] == ["vqcodec", "vqcodec"] and page.get_by_label("Quality").is_disabled()
    page.wait_for_selector(".layer img")
    assert page.locator(".layer img").evaluate_all("pictures => pictures.map((one) => one.alt)") == ["photo.vq, vqcodec"] * 2
    page.get_by_text("Look inside the file").click()
    finished(page)
    assert page.locator("figure.codes").count() == 4
    parts = page.locator("#inside-shown tbody tr").all_inner_texts()
    assert [part.split("\t")[0] for part in parts] == ["map top", "map bottom", "map refine_1", "map refine_2", "header"]
    slider = page.get_by_label("Number of maps")
    slider.focus()
    page.keyboard.press("Home")
    picture = page.locator("figure").first.locator("img")
    assert picture.get_attribute("alt") == "The picture, painted from 1 of 4 maps"
    timers = """() => {
        window.timers = new Map();
        window.setTimeout = (action) => timers.set(timers.size + 1, action).size;
        window.clearTimeout = (timer) => timers.delete(timer);
    }"""
    page.evaluate(timers)
    page.get_by_role("button", name="Build up").click()
    page.get_by_role("button", name="Build up").click()  # which goes on by one, but plays no faster
    assert picture.get_attribute("alt") == "The picture, painted from 3 of 4 maps"
    assert page.evaluate("[...timers.values()].map((action) => action()).length") == 1
    assert picture.get_attribute("alt") == "The picture, painted from 4 of 4 maps"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (HOSTILE_NAME, b"text", "not a picture of a known format"),
        ("empty.png", b"", "the file is empty"),
        ("large.png", bytes(1_000_001), "the file has 1,000,001 bytes, this page takes 1,000,000 at most"),
        ("a.vq", b"\x89VQ\x04\x00", "file ends"),
    ],
)
def test_what_is_refused_is_told_in_a_line_and_the_page_goes_on(
    page: "Page", photo_file: Path, tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    folder = tmp_path / "refused"
    folder.mkdir()
    (folder / name).write_bytes(data)
    page.set_input_files("#file", folder / name)
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert alert.inner_text().startswith(f"{name}: ") and message in alert.inner_text() and alert.locator("b").count() == 0
    choose(page, photo_file)
    assert not alert.is_visible() and facts(page)["Picture"] == ["Original", "vqcodec, quality 50"]


def test_a_file_that_cannot_be_read_leaves_the_last_one_as_it_was(page: "Page", photo_file: Path, tmp_path: Path) -> None:
    choose(page, photo_file)
    before = facts(page)
    page.evaluate("() => { Blob.prototype.arrayBuffer = () => Promise.reject(new Error()); }")
    (tmp_path / "folder").write_bytes(b"")
    page.set_input_files("#file", tmp_path / "folder")
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert alert.inner_text() == "folder: it cannot be read; is it a folder?" and facts(page) == before
    page.wait_for_selector("#status", state="hidden")
    page.get_by_label("Quality").fill("100")
    finished(page)
    assert facts(page) != before and alert.is_hidden()


def test_a_file_that_turns_out_unreadable_late_is_not_told_of(page: "Page", photo_file: Path, tmp_path: Path) -> None:
    late = """() => {
        const read = Blob.prototype.arrayBuffer;
        Blob.prototype.arrayBuffer = () => new Promise((_, reject) => { window.fail = () => reject(new Error()); });
        window.restore = () => { Blob.prototype.arrayBuffer = read; };
    }"""
    page.evaluate(late)
    (tmp_path / "folder").write_bytes(b"")
    page.set_input_files("#file", tmp_path / "folder")
    page.evaluate("window.restore()")
    choose(page, photo_file)
    page.evaluate("window.fail()")
    page.get_by_label("Quality").fill("100")
    finished(page)
    assert page.get_by_role("alert").is_hidden()
    page.get_by_alt_text(f"{HOSTILE_NAME}, vqcodec quality 100", exact=True).wait_for()


def test_two_tabs_are_both_served(page: "Page", photo_file: Path, browser: "BrowserContext", server: Served) -> None:
    other = browser.new_page()
    other.goto(server.url)
    page.set_input_files("#file", photo_file)
    other.set_input_files("#file", photo_file)
    for tab in (page, other):
        finished(tab)
        assert facts(tab)["Picture"] == ["Original", "vqcodec, quality 50"]
    other.close()


@pytest.mark.parametrize(
    "event",
    ["document.getElementById('left').dispatchEvent(new Event('change'))", "document.querySelector('figure img').src += '?'"],
    ids=["choice", "picture"],
)
def test_a_file_that_is_not_kept_any_more_is_sent_again(
    browser: "BrowserContext", server: Served, tmp_path: Path, small_model: str, event: str
) -> None:
    (tmp_path / "photo.vq").write_bytes(vqcodec.encode(make_picture(*SIZE), model=small_model))
    page = browser.new_page()  # which may tell on its console what is gone
    page.goto(server.url)
    choose(page, tmp_path / "photo.vq")
    page.get_by_text("Look inside the file").click()
    finished(page)
    before = page.locator("#save-vq").get_attribute("href")
    assert before is not None
    page.route(f"**{before.removesuffix('upload')}*", lambda route: route.fulfill(status=404, body='{"error": "gone"}'))
    page.evaluate(event)
    page.wait_for_function("before => document.getElementById('save-vq').getAttribute('href') !== before", arg=before)
    finished(page)
    assert facts(page)["Picture"] == ["vqcodec", "vqcodec"] and page.get_by_role("alert").is_hidden()
    page.wait_for_function("[...document.images].every(image => image.complete && image.naturalWidth)")
    page.close()


def test_what_may_work_the_next_time_can_be_tried_again(page: "Page", photo_file: Path) -> None:
    line = '{"event": "failed", "message": "a newer request took its place", "can_retry": true}\n'
    page.route("**/code", lambda route: route.fulfill(body=line), times=1)
    page.set_input_files("#file", photo_file)
    page.get_by_role("button", name="Try again").click()
    finished(page)
    assert facts(page)["Picture"] == ["Original", "vqcodec, quality 50"] and page.get_by_role("button", name="Try again").is_hidden()


def cancel_next_work(page: "Page") -> None:
    """Lets the page cancel the next work, from within, since that may be done sooner than a click from here arrives."""
    click = """() => {
        const button = document.getElementById("cancel");
        const watch = new MutationObserver(() => {
            if (!button.offsetParent) return;
            watch.disconnect();
            button.click();
        });
        watch.observe(document.body, { attributes: true, childList: true, subtree: true });
    }"""
    page.evaluate(click)


def test_work_can_be_cancelled_and_begun_again(page: "Page", photo_file: Path) -> None:
    cancel_next_work(page)
    page.set_input_files("#file", photo_file)
    again = page.get_by_role("button", name="Try again")
    again.wait_for()
    assert page.locator("#status").is_hidden() and page.get_by_role("alert").is_hidden() and page.locator("#result").is_hidden()
    again.click()
    finished(page)
    assert facts(page)["Picture"] == ["Original", "vqcodec, quality 50"] and again.is_hidden()
    cancel_next_work(page)
    page.get_by_label("Quality").fill("20")
    again.wait_for()
    assert facts(page)["Picture"] == ["Original", "vqcodec, quality 50"]  # as long as this is what is shown and saved
    page.get_by_label("Quality").fill("21")
    finished(page)
    assert facts(page)["Picture"] == ["Original", "vqcodec, quality 21"] and again.is_hidden()
    page.get_by_alt_text(f"{HOSTILE_NAME}, vqcodec quality 21", exact=True).wait_for()
    assert page.evaluate("[...document.images].filter(image => image.src).map(image => image.naturalWidth > 0)") == [True, True]


def test_the_same_file_can_be_chosen_anew(page: "Page", photo_file: Path) -> None:
    choose(page, photo_file)
    with page.expect_file_chooser():
        page.locator("#file").click()
    assert page.locator("#file").input_value() == ""  # so that the browser takes the same file for another one
    assert "bytes" in page.locator("#chosen").inner_text() and facts(page)["Picture"] == ["Original", "vqcodec, quality 50"]


def test_the_numbers_that_are_told_are_those_of_the_settings_after_going_back(page: "Page", photo_file: Path) -> None:
    choose(page, photo_file)
    page.get_by_label("Quality").fill("80")
    page.get_by_label("Tune").select_option("psnr")
    finished(page)
    page.goto("about:blank")
    with page.expect_response("**/about"):
        page.go_back()
    page.wait_for_timeout(100)  # in which a browser may restore what was set
    assert page.locator("#quality-value").inner_text() == page.get_by_label("Quality").input_value() == "50"
    assert page.get_by_label("Tune").input_value() == "iq" and page.locator("#file").input_value() == ""


@pytest.mark.parametrize("size", [(1, 1), (5000, 10), (10, 5000)])
@pytest.mark.parametrize("colour_scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(page: "Page", tmp_path: Path, colour_scheme: str, size: tuple[int, int]) -> None:
    page.emulate_media(color_scheme=colour_scheme)
    page.set_viewport_size({"width": 360, "height": 740})
    Image.fromarray(make_picture(*size)).save(tmp_path / "a.png")
    choose(page, tmp_path / "a.png")
    page.get_by_text("Look inside the file").click()
    finished(page)
    page.wait_for_selector("figure.codes")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    box = page.locator(".stage").bounding_box()
    assert box is not None and box["height"] >= 20 and box["width"] > 0


def test_everything_that_can_be_used_has_a_name(page: "Page", photo_file: Path) -> None:
    choose(page, photo_file)
    page.get_by_text("Look inside the file").click()
    finished(page)
    unnamed = """nodes => nodes
        .filter((node) => !(node.labels?.length || node.ariaLabel || node.hasAttribute("aria-labelledby")))
        .filter((node) => !(node.textContent.trim() || node.alt))
        .map((node) => node.outerHTML)"""
    assert page.locator("input, select, button, a, meter, img, [tabindex]").evaluate_all(unnamed) == []
