"""Checks profiles that are built from numbers, and which profiles are those of sRGB or of other pixels."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.unit.images.profiles import DISPLAY_P3, LITTLECMS_LAB, LITTLECMS_SRGB, cmyk_profile
from vqcodec.images.colour import (
    ADOBE_RGB,
    D65,
    PROPHOTO,
    SRGB_PRIMARIES,
    Colours,
    convert_to_srgb,
    is_srgb,
    profile_of,
    profile_problem,
    rgb_to_xyz,
    srgb_of_light,
)

GREYS = np.arange(256, dtype=np.uint8)[None]
SRGB_POINTS = (0.6401, 0.3301), (0.3, 0.5999), (0.15, 0.06)


def test_srgb_needs_no_profile() -> None:
    assert profile_of(Colours(), is_grey=False) is None
    assert profile_of(Colours(SRGB_POINTS, (0.313, 0.329)), is_grey=False) is None
    assert profile_of(DISPLAY_P3, is_grey=True) is None


@pytest.mark.parametrize("colours", [DISPLAY_P3, ADOBE_RGB, PROPHOTO, Colours(transfer=1.0)])
def test_profiles_say_what_they_were_built_from(colours: Colours) -> None:
    profile = profile_of(colours, is_grey=False)
    assert profile is not None and len(profile) < 500 and len(profile) % 4 == 0
    assert profile_problem(profile, is_grey=False) == "" and not is_srgb(profile, is_grey=False)
    found = ImageCms.ImageCmsProfile(BytesIO(profile)).profile
    white = np.linalg.solve(np.array(found.chromatic_adaptation[0]), [0.9642, 1, 0.8249])
    assert white[:2] / white.sum() == pytest.approx(colours.white, abs=1e-3)
    for own, (_, adapted) in zip(colours.primaries, (found.red_primary, found.green_primary, found.blue_primary), strict=True):
        xyz = np.linalg.solve(np.array(found.chromatic_adaptation[0]), np.array([adapted[0], adapted[1], 1 - adapted[0] - adapted[1]]))
        assert xyz[:2] / xyz.sum() == pytest.approx(own, abs=0.02)


def test_colours_of_display_p3_are_converted_right() -> None:
    profile = profile_of(DISPLAY_P3, is_grey=False)
    assert profile is not None
    samples = np.array([[[255, 255, 255], [128, 128, 128], [200, 150, 100]]], np.uint8)
    light = np.where(samples / 255 <= 0.04045, samples / 255 / 12.92, ((samples / 255 + 0.055) / 1.055) ** 2.4)
    expected = srgb_of_light(light @ (np.linalg.inv(rgb_to_xyz(Colours())) @ rgb_to_xyz(DISPLAY_P3)).T)
    assert np.abs(convert_to_srgb(samples, profile).astype(int) - expected).max() <= 1


def test_grey_profiles_have_a_curve_alone() -> None:
    profile = profile_of(Colours(transfer=1.0), is_grey=True)
    assert profile is not None
    assert profile_problem(profile, is_grey=True) == "" and profile_problem(profile, is_grey=False) == "a grey profile on RGB pixels"
    assert np.abs(convert_to_srgb(GREYS, profile).astype(int) - srgb_of_light(GREYS / 255)).max() <= 1


def test_libpng_takes_the_profiles() -> None:
    for colours, mode in [(DISPLAY_P3, "RGB"), (Colours(transfer=2.2), "L")]:
        out = BytesIO()
        profile = profile_of(colours, is_grey=mode == "L")
        Image.new(mode, (4, 4)).save(out, "PNG", icc_profile=profile)
        assert Image.open(BytesIO(out.getvalue())).info["icc_profile"] == profile


@pytest.mark.parametrize(
    ("colours", "message"),
    [
        (Colours(((0.3, 0.3), (0.3, 0.3), (0.3, 0.3))), "span no colours"),
        (Colours(((0.3, float("nan")), (0.3, 0.6), (0.15, 0.06))), "no chromaticities"),
        (Colours(SRGB_PRIMARIES, (0.3, 0.0)), "no chromaticities"),
        (Colours(SRGB_PRIMARIES, D65, 11.0), "gamma 11"),
    ],
)
def test_numbers_without_sense_are_refused(colours: Colours, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        profile_of(colours, is_grey=False)


def test_srgb_is_known_by_what_its_profile_says() -> None:
    assert is_srgb(LITTLECMS_SRGB, is_grey=False)
    other_bytes = bytearray(LITTLECMS_SRGB)
    other_bytes[24:36] = bytes(12)
    assert is_srgb(bytes(other_bytes), is_grey=False)
    almost = profile_of(Colours(((0.644, 0.33), (0.30, 0.60), (0.15, 0.06))), is_grey=False)
    power = profile_of(Colours(transfer=2.2), is_grey=False)
    grey_power = profile_of(Colours(transfer=2.2), is_grey=True)
    assert almost is not None and power is not None and grey_power is not None
    assert not is_srgb(almost, is_grey=False) and not is_srgb(power, is_grey=False) and not is_srgb(grey_power, is_grey=True)


@pytest.mark.parametrize(
    ("profile", "is_grey", "problem"),
    [
        (LITTLECMS_SRGB, False, ""),
        (LITTLECMS_SRGB, True, "an RGB profile on grey pixels"),
        (LITTLECMS_LAB, False, "a Lab profile on RGB pixels"),
        (cmyk_profile(), False, "a CMYK profile on RGB pixels"),
        (LITTLECMS_SRGB[:12] + b"link" + LITTLECMS_SRGB[16:], False, "a profile of the class 'link', which describes no pixels"),
        (b"junk" * 50, False, "damaged: cannot open profile from string"),
        (LITTLECMS_SRGB[:200], False, "damaged: cannot open profile from string"),
    ],
)
def test_profiles_that_do_not_fit_the_pixels_are_told(profile: bytes, is_grey: bool, problem: str) -> None:
    assert profile_problem(profile, is_grey=is_grey) == problem
