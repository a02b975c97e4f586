"""Checks the calibration of the dial."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import make_picture
from vqcodec.encoding.pictures import encode_controlled
from vqcodec.errors import ModelError
from vqcodec.images.picture import Picture
from vqcodec.models.config import read_config
from vqcodec.models.dial import Dial, OperatingPoint
from vqcodec.models.model import load_model
from vqcodec.rate.choice import max_single_rate_weight
from vqcodec.rate.control import RateControl
from vqcodec.rate.options import LayerOptions
from vqcodec.training.dial import RATE_WEIGHTS, RateCurve, fit_dial, measure_curves, write_dial


def test_a_dial_needs_files_that_grow() -> None:
    flat = made_curve(1)
    flat = RateCurve(flat.rate_weights, np.ones_like(flat.num_bytes), flat.quality_db)
    with pytest.raises(ModelError, match="do not grow"):
        fit_dial([flat] * 4)
    with pytest.raises(ModelError, match="falls where one more map is stored"):
        fit_dial([made_curve(2), made_curve(1), made_curve(3), made_curve(4)])


def made_curve(num_maps: int, pictures: int = 3) -> RateCurve:
    """Files of about num_maps * 10 dB whose curves cross those of one more map where lambda is small."""
    rate_weights = np.geomspace(2, 0.02, 10)
    scale = np.linspace(0.8, 1.2, pictures)
    num_bytes = 1000 * 2.0 ** (1.5 * num_maps) * rate_weights[:, None] ** -0.3 * scale
    psnr_db = 6 * np.log2(num_bytes / scale) - 1.2 * np.abs(np.log(rate_weights[:, None] / 0.2)) ** 1.5
    return RateCurve(rate_weights, num_bytes, psnr_db)


def test_a_fitted_dial_rises_evenly_over_all_maps() -> None:
    curves = [made_curve(num_maps) for num_maps in (1, 2, 3, 4)]
    dial = fit_dial(curves)
    assert {point.num_maps for point in dial.points} == {1, 2, 3, 4}
    num_bytes, psnr_db = [], []
    for point in dial.points:
        curve = curves[point.num_maps - 1]
        at = [np.interp(np.log(point.rate_weight), np.log(curve.rate_weights[::-1]), column[::-1]) for column in np.log(curve.num_bytes).T]
        num_bytes.append(np.exp(at))
        over_rate = [np.interp(np.log(point.rate_weight), np.log(curve.rate_weights[::-1]), column[::-1]) for column in curve.quality_db.T]
        psnr_db.append(over_rate)
    for values in (np.array(num_bytes), np.array(psnr_db)):
        assert (np.diff(values.mean(axis=1)) > 0).all()
        assert (values[1:] > 0.99 * values[:-1]).all()
    steps = np.diff(np.log(np.mean(num_bytes, axis=1)))
    assert np.median(steps) < 1.3 * steps.min() and steps.max() < 8 * np.median(steps)


def test_a_dial_passes_from_map_to_map_where_no_picture_falls() -> None:
    """The second picture gains nothing by the third map's first points; a little further up the second curve all gain by it."""
    rate_weights = np.geomspace(2, 0.02, 30)

    def curve(shift: float, lower: float) -> RateCurve:
        nats = np.linspace(0, 2, 30) + shift
        num_bytes = 1000 * np.exp(np.stack([nats, nats + lower], axis=1))
        return RateCurve(rate_weights, num_bytes, 25 + 5 * np.stack([nats, nats + lower], axis=1) + 0.1 * shift)

    curves = [curve(0, 0), curve(1.8, 0), curve(3.4, -0.15), curve(5.3, 0)]
    dial = fit_dial(curves)
    first = next(point for point in dial.points if point.num_maps == 3)
    last = [point for point in dial.points if point.num_maps == 2][-1]
    entered, left = (
        float(np.interp(-np.log(point.rate_weight), -np.log(rate_weights), curves[point.num_maps - 1].num_bytes[:, 1]))
        for point in (first, last)
    )
    assert entered >= 0.99 * left
    assert sum(point.num_maps == 3 for point in dial.points) > 20


def test_a_curve_is_entered_after_the_last_fall_of_any_picture() -> None:
    curves = [made_curve(num_maps) for num_maps in (1, 2, 3, 4)]
    entered = next(point.rate_weight for point in fit_dial(curves).points if point.num_maps == 2)
    falling = curves[1].num_bytes.copy()
    last = int((curves[1].rate_weights > entered).sum()) + 2
    falling[last, 0] = 1.05 * falling[last + 1, 0]
    uneven = [curves[0], replace(curves[1], num_bytes=falling), *curves[2:]]
    assert list(uneven[1].is_steady()) == [number > last for number in range(10)]
    entered = next(point.rate_weight for point in fit_dial(uneven).points if point.num_maps == 2)
    assert entered < curves[1].rate_weights[last]


def test_bytes_may_fall_a_little_along_one_number_of_maps() -> None:
    """So they do where priors have hardly learned: what codes cost then says little of the bytes that they take."""
    curves = [made_curve(num_maps) for num_maps in (1, 2, 3, 4)]
    falling = curves[1].num_bytes.max() * np.linspace(1, 0.995, len(curves[1].num_bytes))[:, None] * np.ones_like(curves[1].num_bytes)
    curves[1] = RateCurve(curves[1].rate_weights, falling, curves[1].quality_db)
    points = fit_dial(curves).points
    assert {1, 3, 4} <= {point.num_maps for point in points} and [p.num_maps for p in points] == sorted(p.num_maps for p in points)


def test_a_picture_may_lose_as_much_of_lpips_as_of_psnr() -> None:
    flat = np.full((2, 3), 30.0)
    assert RateCurve(np.array([1, 0.5]), flat, flat).least_db[1] == pytest.approx(29.7)
    assert RateCurve(np.array([1, 0.5]), flat, flat / 4, is_lpips=True).least_db[1] == pytest.approx(7.2)


def test_calibration_of_a_model(models_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small-test"
    shutil.copytree(models_root / "small-test", folder)
    model = load_model(read_config(folder), "cpu")
    pictures = [Picture(make_picture(64, 48, seed)) for seed in range(2)]
    curves = measure_curves(model, pictures)
    assert len(curves) == 4 and curves[1].num_bytes.shape == curves[1].quality_db.shape == (len(RATE_WEIGHTS), 2)
    assert curves[0].rate_weights[0] == max_single_rate_weight(model.config) > curves[0].rate_weights[1]
    rate, codes_alone = RateControl(num_maps=2, rate_weight=curves[1].rate_weights[3]), LayerOptions(layers=False)
    (file, _) = encode_controlled(pictures, model, rate=rate, options=codes_alone)
    assert file.error is None and curves[1].num_bytes[3, 0] == len(file.data)
    dial = Dial(tuple(OperatingPoint(1 + number // 25, float(100 - number)) for number in range(100)))
    write_dial(folder, dial)
    assert read_config(folder).dial("iq") == dial
    assert read_config(folder).weights_sha256 == model.config.weights_sha256
