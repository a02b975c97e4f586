"""Checks the report in Chromium, opened as a file: plots, points, the viewer's divider and zoom, a phone's width."""

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.browser.conftest import NEEDS_BROWSER, quiet_page
from tests.unit.compare.test_rows import row
from vqcodec.compare.report import ORIGINAL, BdRate, BdTable, View, report_html
from vqcodec.compare.rows import METRICS, Point, Published

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator, Page

pytestmark = NEEDS_BROWSER

LONG_NAME = "a_codec_of_such_a_long_name_that_it_fits_into_no_line_of_a_phone"
RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    rows = [
        row(codec=codec, setting=setting, bpp=bpp, psnr_db=20 + 10 * bpp, lpips_vgg=0.5 / bpp, dists=0.1 / bpp)
        for codec in ("jpeg", "webp", LONG_NAME)
        for setting, bpp in (("q10", 0.25), ("q50", 0.5), ("q90", 2.0))
    ]
    published = [Published("mbt2018", "https://example.org/mbt2018", [Point("", 0.3, psnr_db=29.5), Point("", 0.5, psnr_db=32.0)])]
    views = [
        View("kodim01", ORIGINAL, "", solid(RED), "image/png"),
        View("kodim01", "jpeg", "q50", solid(BLUE), "image/png"),
        View("kodim01", "webp", "q10", solid(BLUE), "image/png"),
        View("kodim01", "webp", "q50", b"no picture", "image/png"),
        View("kodim02", ORIGINAL, "", solid(BLUE), "image/png"),
    ]
    bd_tables = [BdTable("psnr_db", "jpeg", [BdRate("webp", -12.5), BdRate(LONG_NAME, None, "curves do not overlap")])]
    html = report_html(rows, published, views, title="A benchmark", bd_tables=bd_tables, about={"CPU": "one", "Images": "1"})
    path.write_text(html, encoding="utf-8")
    return path


@pytest.fixture
def page(report: Path, browser: "BrowserContext") -> Iterator["Page"]:
    """Yields the report, opened as a file, which is quiet and asks for nothing else."""
    with quiet_page(browser, lambda url: url == report.as_uri()) as page:
        page.goto(report.as_uri())
        page.wait_for_selector(".layer.right img")
        yield page


def solid(colour: tuple[int, int, int]) -> bytes:
    out = BytesIO()
    Image.new("RGB", (64, 48), colour).save(out, "PNG")
    return out.getvalue()


def pixels(locator: "Locator") -> NDArray[np.uint8]:
    return np.asarray(Image.open(BytesIO(locator.screenshot())).convert("RGB"))


def check_boundary(page: "Page", percent: float) -> None:
    """Checks that all is red left of `percent` of the stage and blue right of it, but for the divider and the outermost pixels."""
    line = pixels(page.locator(".stage"))[20]
    boundary = round(len(line) * percent / 100)
    assert (line[2 : max(boundary - 4, 2)] == RED).all()
    assert (line[boundary + 4 : -2] == BLUE).all()


def drag(page: "Page", start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drags between two places, given as shares of the stage."""
    page.locator(".stage").scroll_into_view_if_needed()
    box = page.locator(".stage").bounding_box()
    assert box is not None
    (x0, y0), (x1, y1) = ((box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end))
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move(x1, y1, steps=4)
    page.mouse.up()


def transforms(page: "Page") -> list[str]:
    return page.locator(".layer img").evaluate_all("pictures => pictures.map((picture) => getComputedStyle(picture).transform)")


def test_every_metric_has_a_plot(page: "Page") -> None:
    assert page.get_by_role("tab").all_text_contents() == [metric.title for metric in METRICS]
    for metric in METRICS:
        page.get_by_role("tab", name=metric.title, exact=True).click()
        expected = 4 if metric.key == "psnr_db" else 3
        assert page.locator("#plot .curve").count() == expected
        assert page.locator("#plot .published .curve").count() == expected - 3
        assert metric.axis_title in page.locator("#plot svg").text_content()
    dashes = "curve => getComputedStyle(curve).strokeDasharray"
    page.get_by_role("tab", name="PSNR", exact=True).click()
    assert page.locator("#plot .published .curve").evaluate(dashes) != "none"
    assert page.locator("#plot .measured .curve").first.evaluate(dashes) == "none"


def test_tabs_follow_the_arrow_keys(page: "Page") -> None:
    page.get_by_role("tab", name="PSNR", exact=True).focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("[role=tab][aria-selected=true]").text_content() == "MS-SSIM"
    assert page.locator("[role=tab]:focus").text_content() == "MS-SSIM"


def test_hovering_a_point_tells_what_it_is(page: "Page") -> None:
    tooltip = page.locator(".tooltip")
    assert not tooltip.is_visible()
    page.locator("#plot .point").nth(1).hover(force=True)
    for text in ("jpeg", "q50", "0.500 bpp", "PSNR 25.00 dB"):
        assert text in tooltip.inner_text()
    page.mouse.move(1, 1)
    assert not tooltip.is_visible()
    page.get_by_role("tab", name="MS-SSIM").click()
    page.locator("#plot .point").nth(0).hover(force=True)
    assert "MS-SSIM 0.9000 (10.00 dB)" in tooltip.inner_text()


def test_points_can_be_touched(page: "Page") -> None:
    page.locator("#plot .published .point").first.tap(force=True)
    assert "mbt2018 (published)" in page.locator(".tooltip").inner_text()


def test_points_can_be_reached_with_the_keyboard(page: "Page") -> None:
    page.locator("#plot .point[tabindex='0']").focus()
    assert "q10" in page.locator(".tooltip").inner_text()
    page.keyboard.press("ArrowRight")
    assert "q50" in page.locator(".tooltip").inner_text()
    page.keyboard.press("ArrowDown")
    assert "webp" in page.locator(".tooltip").inner_text()
    assert page.locator("#plot .point:focus").get_attribute("aria-label") == "webp, q50, 0.500 bpp, PSNR 25.00 dB"


def test_the_legend_hides_curves(page: "Page") -> None:
    button = page.locator("#legend").get_by_role("button", name="jpeg")
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert page.locator("#plot .curve").count() == 3
    page.get_by_role("button", name="Hide all").click()
    assert page.locator("#plot .curve").count() == 0
    page.get_by_role("button", name="Show all").click()
    assert page.locator("#plot .curve").count() == 4


def test_values_and_bd_rates_are_tables(page: "Page") -> None:
    page.locator("summary").click()
    assert page.locator("#values tbody tr").count() == 11
    assert page.locator("#values tbody tr").first.locator("th, td").all_text_contents()[:5] == ["jpeg", "q10", "1", "0.2500", "22.50"]
    rows = page.locator("#bd-tables tbody tr")
    assert rows.nth(0).locator("th, td").all_text_contents() == ["webp", "−12.5 %", ""]
    assert rows.nth(1).locator("td").all_text_contents() == ["–", "curves do not overlap"]


def test_the_divider_moves_by_mouse_and_by_keyboard(page: "Page") -> None:
    divider = page.get_by_role("slider")
    check_boundary(page, 50)
    drag(page, (0.5, 0.5), (0.25, 0.6))
    check_boundary(page, 25)
    assert divider.get_attribute("aria-valuenow") == "25"
    divider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("PageUp")
    check_boundary(page, 40)
    page.keyboard.press("End")
    check_boundary(page, 100)
    assert divider.get_attribute("aria-valuenow") == "100"


def test_zoom_is_in_step(page: "Page") -> None:
    stage = page.locator(".stage")
    fitted = transforms(page)
    stage.hover(position={"x": 100, "y": 50})
    page.mouse.wheel(0, -400)
    page.wait_for_function("before => getComputedStyle(document.querySelector('.layer img')).transform !== before", arg=fitted[0])
    zoomed = transforms(page)
    assert zoomed[0] == zoomed[1]
    check_boundary(page, 50)
    drag(page, (0.7, 0.3), (0.75, 0.35))
    panned = transforms(page)
    assert panned[0] == panned[1] != zoomed[0]
    check_boundary(page, 50)
    page.keyboard.press("+")
    assert len({*transforms(page), *panned}) == 2
    assert page.locator(".layer img").first.evaluate("picture => getComputedStyle(picture).imageRendering") == "pixelated"
    page.keyboard.press("0")
    assert transforms(page) == fitted


def test_two_fingers_zoom(page: "Page") -> None:
    page.locator(".stage").scroll_into_view_if_needed()
    box = page.locator(".stage").bounding_box()
    assert box is not None
    devtools = page.context.new_cdp_session(page)
    for kind, spread in (("touchStart", 40), ("touchMove", 60), ("touchMove", 80)):
        points = [{"x": box["x"] + box["width"] / 4 + side * spread, "y": box["y"] + 60, "id": side + 1} for side in (-1, 1)]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    scales = [float(re.findall(r"[\d.]+", transform)[0]) for transform in transforms(page)]
    assert scales == [pytest.approx(2.0, rel=0.01)] * 2
    check_boundary(page, 50)


def test_the_viewer_tells_what_is_displayed(page: "Page") -> None:
    facts = page.locator("#viewer table")
    for text in ("original", "jpeg", "q50", "1,000", "0.5000", "25.00 dB", "0.9000"):
        assert text in facts.inner_text()
    page.get_by_label("Right: codec").select_option("webp")
    assert page.get_by_label("Right: setting").input_value() == "q50"
    page.get_by_text("This browser cannot show this picture.").wait_for()
    page.get_by_label("Right: setting").select_option("q10")
    page.wait_for_selector(".layer.right img[alt='kodim01, webp q10']")
    check_boundary(page, 50)
    page.get_by_label("Image", exact=True).select_option("kodim02")
    page.wait_for_selector(".layer.right img[alt^='kodim02, original']")


def test_the_report_opens_on_what_it_is_told(browser: "BrowserContext", tmp_path: Path) -> None:
    path = tmp_path / "opens.html"
    views = [
        View("one", name, setting, solid(colour), "image/png")
        for name, setting, colour in (
            (ORIGINAL, "", RED),
            ("jpeg", "q6", RED),
            ("jpeg", "q25", RED),
            ("vqcodec", "q7", BLUE),
            ("vqcodec", "q50", BLUE),
        )
    ]
    opens_on = [("jpeg", "q25"), ("vqcodec", "q50")]
    path.write_text(report_html([], [], views, title="Opens", bd_tables=[], about={}, opens_on=opens_on), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector(".layer.right img")
    assert page.locator(".layer img").evaluate_all("ones => ones.map((one) => one.alt)") == ["one, jpeg q25", "one, vqcodec q50"]
    page.close()


@pytest.mark.parametrize("colour_scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(page: "Page", colour_scheme: str) -> None:
    page.emulate_media(color_scheme=colour_scheme)
    page.set_viewport_size({"width": 360, "height": 740})
    page.locator("summary").click()
    page.locator("#plot .point").last.tap(force=True)
    for metric in METRICS:
        page.get_by_role("tab", name=metric.title, exact=True).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    outside = """nodes => nodes
        .filter((node) => node.getBoundingClientRect().right > 360 && !node.closest(".scroll"))
        .map((node) => node.outerHTML)"""
    assert page.locator("main *:not(.layer img)").evaluate_all(outside) == []
    check_boundary(page, 50)


def test_a_report_without_anything_opens(browser: "BrowserContext", tmp_path: Path) -> None:
    path = tmp_path / "empty.html"
    path.write_text(report_html([], [], [], title="Empty", bd_tables=[], about={}), encoding="utf-8")
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    assert page.get_by_text("No pictures were kept.").is_visible()
    page.close()
    assert errors == []
