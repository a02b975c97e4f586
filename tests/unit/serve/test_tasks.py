"""Checks what the worker does with pictures and .vq files, and how it refuses them."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vqcodec
from tests.conftest import make_picture
from vqcodec.compare.others import OTHERS
from vqcodec.compare.selection import codec_named
from vqcodec.errors import FormatError, ImageError, VqcodecError, WeightsMismatchError
from vqcodec.images.metrics import psnr_db
from vqcodec.nn.progress import no_progress
from vqcodec.serve.protocol import PEERS, Event, Made, Progress, Task
from vqcodec.serve.tasks import Studio, largest_within


@pytest.fixture(scope="module")
def studio(models_root: Path) -> Studio:
    return Studio(str(models_root / "small-test"), "cpu", 100_000)


def png(pixels: np.ndarray) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def done(studio: Studio, task: Task) -> tuple[dict, dict[str, bytes], list[Progress]]:
    """Does a task; returns its facts, the files that it made, and its progress."""
    events: list[Event] = []
    facts = studio.work(task, events.append)
    made = {event.name: event.data for event in events if isinstance(event, Made)}
    return facts, made, [event for event in events if isinstance(event, Progress)]


def test_a_picture_becomes_what_the_codec_makes_of_it(studio: Studio, small_model: str) -> None:
    pixels = make_picture(97, 61)
    facts, made, progress = done(studio, Task("code", "one", png(pixels), quality=70))
    data = made[facts["vq"]]
    assert data == vqcodec.encode(pixels, model=small_model, quality=70)
    decoded = np.asarray(vqcodec.decode(data))
    assert np.array_equal(np.asarray(Image.open(BytesIO(made[facts["picture"]]))), decoded)
    assert np.array_equal(np.asarray(Image.open(BytesIO(made[facts["original"]]))), pixels)
    assert (facts["num_bytes"], facts["width"], facts["height"], facts["quality"]) == (len(data), 97, 61, 70)
    assert facts["psnr_db"] == pytest.approx(psnr_db(pixels, decoded))
    shares = [event.share for event in progress]
    assert shares == sorted(shares) and 0 <= shares[0] and shares[-1] <= 1
    again, made_again, _ = done(studio, Task("code", "one", png(pixels), quality=70))
    assert again == facts and "original.png" not in made_again


def test_a_vq_file_is_shown_and_looked_into(studio: Studio, small_model: str) -> None:
    data = vqcodec.encode(make_picture(97, 61), model=small_model, quality=100, layers=False)
    facts, made, _ = done(studio, Task("code", "two", data))
    assert facts["vq"] == "upload" and not facts.keys() & {"original", "quality"} and list(made) == [facts["picture"]]
    inside, made, _ = done(studio, Task("inside", "two", data))
    assert [entry["name"] for entry in inside["maps"]] == ["top", "bottom", "refine_1", "refine_2"]
    assert sum(num_bytes for _, num_bytes in inside["parts"]) == len(data)
    assert {inside["heat"], *inside["steps"], *(inside[f"map{number}"] for number in range(4))} == made.keys()
    for count, name in enumerate(inside["steps"], 1):
        assert np.array_equal(np.asarray(Image.open(BytesIO(made[name]))), np.asarray(vqcodec.decode(data, max_maps=count)))


def test_the_limit_of_pixels_holds_for_what_is_inside(studio: Studio, small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = vqcodec.encode(make_picture(97, 61), model=small_model, quality=1, layers=False)
    monkeypatch.setattr("vqcodec.format.limits.MANY_PIXELS", 1)
    monkeypatch.setattr("vqcodec.format.limits.PIXELS_PER_BYTE", 1)
    for kind in ("code", "inside"):
        done(studio, Task(kind, "three", data))


@pytest.mark.parametrize("peer", PEERS)
def test_other_codecs_take_no_more_bytes(studio: Studio, photo: np.ndarray, peer: str) -> None:
    crop = np.ascontiguousarray(photo[:96, :128])
    codec = codec_named(peer, OTHERS)
    facts, made, _ = done(studio, Task("peer", "three", png(crop), peer=peer, num_bytes=2500))
    assert len(codec.encode(crop, facts["quality"])) == facts["num_bytes"] <= 2500 < len(codec.encode(crop, facts["quality"] + 1))
    shown = np.asarray(Image.open(BytesIO(made[facts["picture"]])))
    assert facts["psnr_db"] == pytest.approx(psnr_db(crop, shown))


def test_the_smallest_file_is_taken_where_all_are_too_large_and_the_best_where_all_fit() -> None:
    jpeg, pixels = codec_named("jpeg", OTHERS), make_picture(40, 40)
    assert largest_within(jpeg, pixels, 1, no_progress) == (0, jpeg.encode(pixels, 0))
    assert largest_within(jpeg, pixels, 1 << 20, no_progress) == (100, jpeg.encode(pixels, 100))
    with pytest.raises(VqcodecError, match="webp cannot hold a picture of 16384x1 pixels"):
        largest_within(codec_named("webp", OTHERS), np.zeros((1, 16384, 3), np.uint8), 9, no_progress)


def test_what_cannot_be_read_is_refused(studio: Studio, models_root: Path) -> None:
    other = vqcodec.encode(make_picture(64, 64))
    for data, error, message in [
        (b"", ImageError, "the file is empty"),
        (b"hello", ImageError, "not a picture of a known format"),
        (png(make_picture(400, 300))[:2000], ImageError, "expected|truncated|cannot be read"),
        (png(make_picture(400, 300)), ImageError, "picture of 400x300 pixels, expected .* 100000 pixels at most"),
        (other, WeightsMismatchError, "expected small-test"),
        (other[:3], FormatError, "ends"),
    ]:
        for kind in ("code", "inside"):
            with pytest.raises(error, match=message):
                studio.work(Task(kind, "bad", data), lambda _: None)


def test_the_first_picture_of_an_animation_is_taken(studio: Studio) -> None:
    out = BytesIO()
    frames = [Image.fromarray(make_picture(40, 30, seed)) for seed in range(2)]
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    _, made, _ = done(studio, Task("code", "animation", out.getvalue()))
    assert np.array_equal(np.asarray(Image.open(BytesIO(made["original.png"]))), make_picture(40, 30, 0))


def test_it_warms_up_without_a_trace(studio: Studio) -> None:
    studio.warm_up()
    assert done(studio, Task("code", "warm", png(make_picture(30, 20))))[0]["width"] == 30


def test_work_is_given_up_where_nobody_waits(studio: Studio) -> None:
    def tell(event: Event) -> None:
        if isinstance(event, Progress) and event.step == "Encoding":
            raise InterruptedError

    data = png(make_picture(50, 50))
    with pytest.raises(InterruptedError):
        studio.work(Task("code", "given-up", data), tell)
    assert done(studio, Task("code", "given-up", data))[0]["width"] == 50
