"""Checks the choice of layers: by made-up codes, and on the whole way from a picture to its file and back."""

import math
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import make_picture
from tests.unit.rate.test_graphics import noise, text
from vqcodec.format.layers import NO_LAYERS, Layers
from vqcodec.images.layers import avif_within, decode_layers, quick_avif
from vqcodec.models.dial import OperatingPoint
from vqcodec.rate.layers import LayerChoice, Version, byte_weight, wants_layers
from vqcodec.rate.options import Exact, LayerOptions

WEIGHT = byte_weight(OperatingPoint(2, 0.3))


@dataclass
class Writer:
    """Files of made-up codes, all of which paint the same picture in as many bytes."""

    painted: NDArray[np.uint8]
    code_bytes: int = 1000
    overhead: int = 40
    encoded: list[tuple[NDArray[np.uint8], NDArray[np.bool_]]] = field(default_factory=list)

    def encode(self, rgb: NDArray[np.uint8], free: NDArray[np.bool_], layers: Layers) -> Version:
        self.encoded.append((rgb, free))
        return self._version(self.code_bytes, layers)

    def cover(self, layers: Layers) -> Version:
        return self._version(0, layers)

    def codes(self) -> Version:
        return self._version(self.code_bytes, NO_LAYERS)

    def _version(self, code_bytes: int, layers: Layers) -> Version:
        size = code_bytes + self.overhead + sum(len(patch.bitstream) for patch in layers.patches) + len(layers.avif or b"")
        return Version(bytes(size), [], layers, self.painted)


def choose(rgb: NDArray[np.uint8], writer: Writer, **changes: Any) -> Version:
    choice = LayerChoice(rgb, np.ones(rgb.shape[:2], bool), WEIGHT, LayerOptions(), None, encode=writer.encode, cover=writer.cover)
    return replace(choice, **changes).best(writer.codes())


def exact_mask(layers: Layers, width: int, height: int) -> NDArray[np.bool_]:
    """Tells of each pixel, [height, width], whether a patch says it."""
    mask = np.zeros((height, width), bool)
    for patch, (rgb, own) in zip(layers.patches, decode_layers(layers, width, height).patches, strict=True):
        mask[patch.top : patch.top + rgb.shape[0], patch.left : patch.left + rgb.shape[1]] |= own
    return mask


def _avif(rgb: NDArray[np.uint8]) -> bytes:
    data = BytesIO()
    Image.fromarray(rgb).save(data, "AVIF", quality=95, subsampling="4:4:4")
    return data.getvalue()


def blurred(rgb: NDArray[np.uint8], radius: int = 4) -> NDArray[np.uint8]:
    height, width = rgb.shape[:2]
    small = Image.fromarray(rgb).resize((max(1, width // radius), max(1, height // radius)))
    return np.asarray(small.resize((width, height)))


def test_graphics_become_exact_as_a_whole() -> None:
    rgb = text()
    best = choose(rgb, Writer(blurred(rgb)))
    assert best.layers.num_exact == rgb.shape[0] * rgb.shape[1] and best.layers.avif is None and len(best.data) < 1000


def test_text_beside_noise_becomes_a_patch() -> None:
    """What the codes are given instead is smooth where pixels are exact, and free two places away from all others."""
    rgb = np.hstack([text((160, 96)), make_picture(160, 96)])
    painted = rgb.copy()
    painted[:, :160] = blurred(rgb)[:, :160]
    writer = Writer(painted)
    best = choose(rgb, writer)
    assert best.layers.avif is None and 0.8 < best.layers.num_exact / (160 * 96) < 1.3
    ((given, free),) = writer.encoded
    mask = exact_mask(best.layers, 320, 96)
    places = np.pad(mask.reshape(12, 8, 40, 8).all(axis=(1, 3)), 2, constant_values=True)
    assert np.array_equal(free, np.lib.stride_tricks.sliding_window_view(places, (5, 5)).all(axis=(2, 3)))
    assert 0.2 < free.mean() < 0.5 and not free[:, 22:].any()
    assert np.array_equal(given[~mask], rgb[~mask]) and not np.array_equal(given[mask], rgb[mask])
    assert np.abs(np.diff(given[:, :140].astype(int), axis=1)).mean() < 0.2 * np.abs(np.diff(rgb[:, :140].astype(int), axis=1)).mean()


@pytest.mark.usefixtures("no_avif")
@pytest.mark.parametrize("weight", [60.0, WEIGHT])
def test_of_a_photo_with_a_caption_the_caption_is_exact(weight: float) -> None:
    """Pixels of the photo are not, even where a byte of other pictures is worth little: more of its codes would save more."""
    rgb = noise(160, 161)
    rgb[60:101] = text((160, 41))
    errors = np.random.default_rng(2).normal(0, 12, rgb.shape)
    writer = Writer(np.clip(rgb + errors, 0, 255).astype(np.uint8), code_bytes=9000)
    writer.painted[60:101] = blurred(rgb)[60:101]
    best = choose(rgb, writer, weight=weight)
    mask = exact_mask(best.layers, 160, 161)
    assert mask[60:101].mean() > 0.8 and not mask[:59].any() and not mask[102:].any()


def test_where_codes_are_perfect_they_stay() -> None:
    rgb = text()
    writer = Writer(rgb, code_bytes=20)
    assert choose(rgb, writer).layers == NO_LAYERS and not writer.encoded


def test_expensive_pixels_stay_codes() -> None:
    """The error is small, and noise cannot be said in few bytes in any other way."""
    rgb = noise()
    near = np.clip(rgb.astype(int) + 2, 0, 255).astype(np.uint8)
    assert choose(rgb, Writer(near, code_bytes=100)).layers == NO_LAYERS


def test_a_picture_that_avif_says_better_becomes_avif() -> None:
    rgb = make_picture(128, 48)
    for exact in ("auto", "off"):
        best = choose(rgb, Writer(255 - rgb), options=LayerOptions(exact), weight=byte_weight(OperatingPoint(1, 1.0)))  # type: ignore[arg-type]
        assert best.layers.avif is not None and not best.layers.patches


def test_exact_off_leaves_nothing_exact() -> None:
    rgb = text((64, 32))
    best = choose(rgb, Writer(blurred(rgb)), options=LayerOptions("off"))
    assert not best.layers.patches


@pytest.mark.usefixtures("no_avif")
@pytest.mark.parametrize(("code_bytes", "exact", "is_even"), [(400, "auto", True), (20, "auto", False), (400, "off", False)])
def test_one_colour_with_faint_noise_becomes_that_colour(code_bytes: int, exact: Exact, is_even: bool) -> None:
    rgb = np.random.default_rng(0).integers((149, 19, 234), (152, 22, 237), (96, 96, 3)).astype(np.uint8)
    painted = rgb + np.uint8(1)
    version = choose(rgb, Writer(painted, code_bytes), options=LayerOptions(exact=exact))
    assert bool(version.layers.patches) == is_even
    if is_even:
        shown = decode_layers(version.layers, 96, 96).paste(painted)
        assert (shown == shown[:1, :1]).all() and np.abs(shown[0, 0] - rgb.mean(axis=(0, 1))).max() <= 0.5
        speck = rgb.copy()
        speck[5, 7] += 20
        assert not choose(speck, Writer(speck + np.uint8(1), code_bytes), weight=7e4).layers.patches
        louder = (rgb.astype(int) * 2 - (150, 20, 235)).clip(0, 255).astype(np.uint8)
        assert not choose(louder, Writer(louder + np.uint8(1), code_bytes), weight=7e4).layers.patches


@pytest.mark.usefixtures("no_avif")
@pytest.mark.parametrize(("share", "is_exact"), [(0.028, False), (0.032, True)])
def test_a_small_gain_is_none(share: float, is_exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patches that save less than three percent of the cost are left out. Files are long here, and a lossless one is too long."""
    monkeypatch.setattr("vqcodec.rate.layers.importance", lambda rgb: np.ones(rgb.shape[:2], np.float32))
    rgb = np.hstack([text((160, 96)), make_picture(160, 96)])
    painted = rgb.copy()
    painted[:, :160] = blurred(rgb)[:, :160]
    writer = Writer(painted)
    with_patches = choose(rgb, writer)
    shown = decode_layers(with_patches.layers, 320, 96).paste(painted)
    error, error_left = (float(np.square(picture.astype(int) - rgb).sum()) for picture in (painted, shown))
    cost = error + WEIGHT * len(writer.codes().data)
    gain = cost - error_left - WEIGHT * len(with_patches.data)
    more = round((gain / share - cost) / WEIGHT)
    longer = Writer(painted, overhead=writer.overhead + more)
    best = choose(rgb, longer, max_bytes=len(with_patches.data) + more)
    assert len(longer.encoded) == 1 and best.layers == (with_patches.layers if is_exact else NO_LAYERS)


@pytest.mark.usefixtures("no_avif")
def test_a_lossless_file_may_be_a_little_longer() -> None:
    """Even where codes are perfect it is taken, if it has five percent and 64 bytes more at most."""
    rgb = noise()
    writer = Writer(rgb)
    choice = LayerChoice(rgb, np.ones(rgb.shape[:2], bool), WEIGHT, LayerOptions(), None, writer.encode, writer.cover)
    shortest = math.ceil((len(choice.all_exact().data) - 64) / 1.05)
    for length, is_exact in [(shortest, True), (shortest - 1, False)]:
        best = choose(rgb, Writer(rgb, code_bytes=length - writer.overhead))
        assert bool(best.layers.patches) == is_exact


def test_avif_is_tried_in_the_bytes_of_patches_that_do_not_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes alone cost less than patches, but AVIF in as many bytes as these may cost less than both."""
    rgb, limits = make_picture(160, 96), list[int]()
    painted = np.full_like(rgb, 128)

    def search(_: NDArray[np.uint8], limit: int) -> None:
        limits.append(limit)

    monkeypatch.setattr("vqcodec.rate.layers.avif_within", search)
    monkeypatch.setattr(LayerChoice, "_with_patches", lambda *_: [Version(bytes(3000), [], NO_LAYERS, painted)])
    choose(rgb, Writer(painted, code_bytes=900))
    assert limits == [3000, 940]


def test_avif_is_searched_where_a_quick_trial_gives_hope(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []

    def search(rgb: NDArray[np.uint8], max_bytes: int) -> bytes | None:
        limits.append(max_bytes)
        return None

    monkeypatch.setattr("vqcodec.rate.layers.avif_within", search)
    rgb = make_picture(128, 48)
    near = np.clip(rgb.astype(int) + 1, 0, 255).astype(np.uint8)
    off = LayerOptions("off")
    assert choose(rgb, Writer(near, code_bytes=500), options=off).layers == NO_LAYERS and limits == []
    assert choose(rgb, Writer(255 - rgb), options=off).layers == NO_LAYERS and limits == [1040]
    assert choose(rgb, Writer(255 - rgb), options=off, max_bytes=800).layers == NO_LAYERS and limits == [1040, 760]
    assert choose(rgb, Writer(255 - rgb), options=off, max_bytes=40).layers == NO_LAYERS and len(limits) == 2


@pytest.mark.parametrize(("shifts", "taken"), [((6, 6, 0, 0), 2), ((6, 6, 6, 6), 0), ((1,), 0)])
def test_of_avif_pictures_of_other_colours_a_larger_one_may_be_right(
    monkeypatch: pytest.MonkeyPatch, shifts: tuple[int, ...], taken: int
) -> None:
    """The first whose large areas are right is taken, or the first of all where none is."""
    rgb = np.clip(make_picture(128, 64), 8, 240).astype(np.uint8)
    files: list[bytes] = []
    limits = []

    def search(picture: NDArray[np.uint8], max_bytes: int) -> bytes | None:
        limits.append(max_bytes)
        files.append(_avif(picture + np.uint8(shifts[len(files)])))
        return files[-1]

    monkeypatch.setattr("vqcodec.rate.layers.avif_within", search)
    best = choose(rgb, Writer(255 - rgb, 30_000), options=LayerOptions("off"))
    assert best.layers.avif == files[taken] and len(files) == (taken + 1 if taken or len(shifts) == 1 else 4)
    assert all(len(file) < limit <= 1.07 * len(file) for file, limit in zip(files, limits[1:], strict=False))


@pytest.mark.parametrize(("code_bytes", "smooth", "taken"), [(350, False, False), (350, True, True), (44, True, False)])
def test_avif_pictures_of_smooth_ones_may_be_larger_than_codes(code_bytes: int, smooth: bool, taken: bool) -> None:
    """By up to 320 bytes, since no AVIF file is as small as some codes of smooth pictures."""
    rgb = np.random.default_rng(0).integers(10, 70, (8, 8, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    assert 364 < len(quick_avif(rgb)) < 670
    writer = Writer(rgb - np.uint8(10), code_bytes=code_bytes - 40)
    best = choose(rgb, writer, options=LayerOptions("off"), smooth=smooth, weight=1e6)
    assert (best.layers.avif is not None) == taken


def test_of_smooth_avif_pictures_other_qualities_may_round_colours_better(monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = np.full((64, 64, 3), (10, 120, 60), np.uint8)
    first, worse, better = (_avif(rgb + np.uint8(shift)) for shift in (4, 8, 0))
    monkeypatch.setattr("vqcodec.rate.layers.avif_within", lambda *_: first)
    monkeypatch.setattr("vqcodec.rate.layers.avifs_within", lambda *_: [worse, better])
    monkeypatch.setattr("vqcodec.rate.layers._MOST_DRIFT", 9)
    for smooth in (False, True):
        best = choose(rgb, Writer(255 - rgb), options=LayerOptions("off"), smooth=smooth)
        assert best.layers.avif == (better if smooth else first)


def test_pictures_that_cannot_be_avif_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("quick_avif", "avif_within"):
        monkeypatch.setattr(f"vqcodec.rate.layers.{name}", pytest.fail)
    monkeypatch.setattr("vqcodec.images.layers.features.check", lambda _: False)
    rgb = make_picture(128, 48)
    assert choose(rgb, Writer(255 - rgb), options=LayerOptions("off")).layers == NO_LAYERS


@pytest.mark.parametrize("limit", [700, 2000])
@pytest.mark.parametrize("code_bytes", [660, 640, 100_000])
def test_no_layer_brings_a_file_over_its_limit(monkeypatch: pytest.MonkeyPatch, limit: int, code_bytes: int) -> None:
    """An AVIF file takes all bytes that it is offered here, and header and chunk of the .vq file come to that."""

    def filling(rgb: NDArray[np.uint8], max_bytes: int) -> bytes | None:
        data = avif_within(rgb, max_bytes - 8)
        left = max_bytes - len(data or b"")
        return data if data is None or left < 8 else data + left.to_bytes(4, "big") + b"free" + bytes(left - 8)

    monkeypatch.setattr("vqcodec.rate.layers.avif_within", filling)
    rgb = make_picture(48, 32)
    best = choose(rgb, Writer(255 - rgb, code_bytes), max_bytes=limit, options=LayerOptions("off"))
    assert best.layers.avif is not None and len(best.data) <= limit


def test_files_that_fit_go_before_others() -> None:
    rgb = text()
    exact = len(choose(rgb, Writer(blurred(rgb))).data)
    large = Writer(rgb, code_bytes=exact + 1000)
    assert len(choose(rgb, large, max_bytes=exact).data) <= exact


@pytest.mark.parametrize(("must_fit", "is_avif"), [(False, False), (True, True)])
def test_codes_beyond_the_limit_count_as_what_would_fit(must_fit: bool, is_avif: bool) -> None:
    """Codes of 1,040 bytes would lose little in 900, and AVIF in 900 is worse. Where no fewer bytes are possible, AVIF it is."""
    rgb = make_picture(128, 48)
    best = choose(rgb, Writer(rgb + np.uint8(1)), max_bytes=900, options=LayerOptions("off"), must_fit=must_fit, weight=1e4)
    assert (best.layers.avif is not None) == is_avif and (len(best.data) <= 900) == is_avif


def test_bytes_of_tags_are_not_those_of_pixels() -> None:
    """AVIF gets the bytes of the codes, whatever a file takes besides, and a file of few codes is not made lossless for a long profile."""
    rgb, bare, limits = noise(), Writer(255 - noise()), []
    tagged = Writer(255 - noise(), overhead=bare.overhead + 5000)
    for writer, tag_bytes in ((bare, 0), (tagged, 5000)):
        best = choose(rgb, writer, tag_bytes=tag_bytes)
        limits.append((len(best.data) - tag_bytes, best.layers))
    assert limits[0] == limits[1] and limits[0][1].avif is not None


def test_hidden_pixels_do_not_count() -> None:
    rgb, visible = noise(), np.zeros((48, 64), bool)
    writer = Writer(255 - rgb, code_bytes=20)
    assert choose(rgb, writer, visible=visible).layers == NO_LAYERS
    visible[:] = True
    assert choose(rgb, writer, visible=visible).layers != NO_LAYERS


def test_photos_are_not_asked() -> None:
    assert wants_layers(text(), LayerOptions()) and not wants_layers(text(), LayerOptions(layers=False))
    assert not wants_layers(make_picture(64, 64), LayerOptions())
