"""Tables for the documents, made from the result files."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from bench.images import MODELS, RESULTS, read_json
from bench.rd import DIAL, REALISM, current_rows
from vqcodec.compare.bd_rate import MAX_STEP, bd_rate
from vqcodec.compare.codecs import ImageCodec
from vqcodec.compare.ours import VQCODEC
from vqcodec.compare.rows import METRICS, Metric, Point, mean_curves
from vqcodec.compare.selection import CODECS
from vqcodec.format.container import map_name
from vqcodec.models.registry import DEFAULT_MODEL, find_model

ANCHOR: Final = "jpeg"
OWN: Final = "vqcodec"
RIVALS: Final = ("vvc", "avif", "heic")
"""The best other codecs."""
LEARNED_FROM: Final = ("lpips_alex", "lpips_vgg")
"""Metrics that a decoder learned from, which do not count for the order of codecs."""
SHORT: Final = ("vqcodec", "vqcodec-perceptual", "vvc", "avif", "heic", "webp", "jpeg-xl", "jpeg")
"""Codecs in the short table of BD-rates."""
SPOT_BPP: Final = 0.39
LOW_RATES_BPP: Final = (0.1, 0.15, 0.2, 0.3, 0.4)
LOW_RATE_CODECS: Final = ("vqcodec", "vqcodec-perceptual", "jpeg", "webp", "avif")
COLOUR_CODECS: Final = ("vqcodec", "avif", "nearest")
COLOUR_KEYS: Final = {"flat_delta_e": 2, "worst_levels": 1}
"""Keys of the errors of colours in results, with the decimals that are shown."""
SEMANTICS_BPP: Final = (0.15, 0.3, 0.6)
NO_VALUE: Final = "–"
_BY_KEY: Final = {metric.key: metric for metric in METRICS}


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table in Markdown."""
    header, *lines = (f"| {' | '.join(cells)} |" for cells in (columns, *rows))
    return "\n".join([header, "|" + "---|" * len(columns), *lines])


def bd_rates(codecs: Sequence[str] = ()) -> str:
    """Returns the BD-rates of codecs by every metric that the anchor has, the best mean rank by those that no codec learned from first.

    Args:
        codecs: names of codecs; none for all. A codec whose curve shares too little quality with the anchor's by every metric has no row.
    """
    curves = _curves()
    anchor, metrics = curves[ANCHOR], _measured({ANCHOR: curves[ANCHOR]})
    rates = {
        codec: [bd_rate(metric, anchor, curves[codec], codec).bd_rate_percent for metric in metrics]
        for codec in codecs or curves
        if codec in curves
    }
    order = sorted(
        (codec for codec, values in rates.items() if any(rate is not None for rate in values)),
        key=lambda codec: _rank(codec, rates, [number for number, metric in enumerate(metrics) if metric.key not in LEARNED_FROM]),
    )
    rows = [[codec, *map(_percent, rates[codec])] for codec in order]
    return table(["codec", *(metric.title for metric in metrics)], rows)


def bd_rates_short() -> str:
    """Returns the BD-rates of the best-known codecs."""
    return bd_rates(SHORT)


def bd_rates_direct() -> str:
    """Returns the BD-rates of vqcodec against each of the best other codecs, over the qualities that the two reach."""
    curves = _curves()
    metrics = _measured({ANCHOR: curves[ANCHOR]})
    rows = []
    for codec in RIVALS:
        rates = [bd_rate(metric, curves[codec], curves[OWN], OWN).bd_rate_percent for metric in metrics]
        rows.append([codec, *map(_percent, rates)])
    return table([f"{OWN}, against", *(metric.title for metric in metrics)], rows)


def spot() -> str:
    """Returns every metric of every codec at one rate; codecs whose settings do not reach it have no row."""
    rows, curves = [], _curves()
    metrics = _measured(curves)
    for codec, points in curves.items():
        values = [value_at(metric, points, SPOT_BPP) for metric in metrics]
        if any(value is not None for value in values):
            rows.append((values[0] or 0.0, [codec, *map(_metric_cell, metrics, values)]))
    rows.sort(key=lambda row: -row[0])
    return table([f"at {SPOT_BPP} bpp", *(metric.title for metric in metrics)], [cells for _, cells in rows])


def low_rates() -> str:
    """Returns LPIPS at low rates, of vqcodec and of what people use instead."""
    curves = _curves()
    metrics = (_BY_KEY["lpips_alex"], _BY_KEY["lpips_vgg"])
    rows = []
    for codec in LOW_RATE_CODECS:
        values = [[value_at(metric, curves[codec], bpp) for metric in metrics] for bpp in LOW_RATES_BPP]
        rows.append([codec, *(" / ".join(f"{value:.3f}" for value in pair if value is not None) or NO_VALUE for pair in values)])
    return table(["LPIPS (AlexNet / VGG)", *(f"{bpp} bpp" for bpp in LOW_RATES_BPP)], rows)


def colour() -> str:
    """Returns errors of the mean colours of 64x64 blocks, of vqcodec, of AVIF at equal bytes and of the nearest codes."""
    summary = read_json(RESULTS / f"colour-{DEFAULT_MODEL}.json")["summary"]
    rows = []
    for quality in dict.fromkeys(of["quality"] for of in summary):
        own = {of["codec"]: of for of in summary if of["quality"] == quality}
        differences, worst = ([f"{own[codec][key]:.{decimals}f}" for codec in COLOUR_CODECS] for key, decimals in COLOUR_KEYS.items())
        rows.append([str(quality), *(f"{own[codec]['mean_bytes']:.0f}" for codec in COLOUR_CODECS[:2]), *differences, *worst])
    columns = ["quality", "bytes", "of AVIF", "delta E, flat blocks", "of AVIF", "of the nearest codes", "worst block, levels"]
    return table([*columns, "of AVIF", "of the nearest codes"], rows)


def dial() -> str:
    """Returns what qualities of the dial stand for, and what they give."""
    config = find_model(DEFAULT_MODEL)
    points = _curves()["vqcodec"]
    metrics = [metric for metric in _measured({"vqcodec": points}) if metric.key != "lpips_vgg"]
    rows = []
    for point in points:
        quality = point.setting.removeprefix("q")
        at = config.dial("iq").at(int(quality))
        values = [_metric_cell(metric, metric.of(point)) for metric in metrics]
        rows.append([quality, str(at.num_maps), f"{at.rate_weight:.3g}", f"{point.bpp:.3f}", *values])
    return table(["quality", "maps", "lambda", "bpp", *(metric.title for metric in metrics)], rows)


def dial_steps() -> str:
    """Returns whether bytes and PSNR rise from each measured quality of the dial to the next, of the mean and of single photos."""
    by_setting: dict[str, dict[str, tuple[int, float]]] = {}
    for row in current_rows("kodak", [VQCODEC[0], DIAL]):
        by_setting.setdefault(row.setting, {})[row.image_sha256] = (row.bytes, row.psnr_db)
    settings = sorted(by_setting, key=lambda setting: float(setting.removeprefix("q")))
    images = sorted(by_setting[settings[0]])
    values = np.array([[by_setting[setting][image] for image in images] for setting in settings])  # [S, N, 2]
    num_bytes, psnr = np.moveaxis(values, -1, 0)
    rises = [str(int((np.diff(of.mean(axis=1)) > 0).sum())) for of in (num_bytes, psnr)]
    falls = [f"{max(0.0, float((1 - of[1:] / of[:-1]).max())):.1%}" for of in (num_bytes, psnr)]
    return table(
        ["", "bytes", "PSNR"],
        [
            ["qualities measured", *[str(len(settings))] * 2],
            ["steps at which the mean rises", *rises],
            ["largest fall of one photo at a step", *falls],
        ],
    )


def realism() -> str:
    """Returns what mixtures of the two decoders make of the same files, with differences to the first of them."""
    psnr_db, *lpips = _BY_KEY["psnr_db"], _BY_KEY["lpips_alex"], _BY_KEY["lpips_vgg"]
    rows = []
    for tune, codecs in REALISM.items():
        points = [point for points in _curves(codecs).values() for point in points]
        for codec, point in zip(codecs, points, strict=True):
            psnr = f"{psnr_db.of(point):.2f} ({_value(psnr_db, point) - _value(psnr_db, points[0]):+.2f})"
            ratios = [f"{_value(metric, point):.4f} ({_value(metric, point) / _value(metric, points[0]) - 1:+.0%})" for metric in lpips]
            rows.append([f"`--tune {tune}`, {point.bpp:.3f} bpp", f"{codec.realism:g}", psnr, *ratios])
    return table(["files", "realism", "PSNR (dB)", *(metric.title for metric in lpips)], rows)


def semantics() -> str:
    """Returns the top-1 agreement of a classifier before and after each codec, at some rates."""
    codecs: dict[str, list[tuple[float, float]]] = {}
    for row in read_json(RESULTS / "semantics-val.json")["rows"]:
        codecs.setdefault(row["codec"], []).append((row["bpp"], row["top_1_agreement"]))
    rows = []
    for codec, points in codecs.items():
        values = [_interpolated(bpp, sorted(points)) for bpp in SEMANTICS_BPP]
        rows.append([codec, *(NO_VALUE if value is None else f"{value:.1%}" for value in values)])
    return table(["top-1 agreement", *(f"{bpp} bpp" for bpp in SEMANTICS_BPP)], rows)


def prefixes_quality() -> str:
    """Returns bytes and quality of the first maps of nearest codes, and their share of the same codes at 9 bits each."""
    curves = _curves()
    packed = {point.setting: point.bpp for point in curves["vqcodec-raw"]}
    rows, metrics = [], _measured({"vqcodec-nearest": curves["vqcodec-nearest"]})
    for number, point in enumerate(curves["vqcodec-nearest"]):
        name = map_name(number) if number == 0 else f"+ {map_name(number)}"
        values = [_metric_cell(metric, metric.of(point)) for metric in metrics]
        rows.append([name, f"{point.bpp:.3f}", f"{point.bpp / packed[point.setting]:.1%}", *values])
    return table(["maps", "bpp", "of 9-bit packing", *(metric.title for metric in metrics)], rows)


def bits() -> str:
    """Returns the bits a code of each map by each coder, over Kodak."""
    rows = []
    for run in _codes_runs():
        for of_map in run["maps"]:
            per_code = {**of_map["bits_per_code"], "order_0": math.log2(of_map["perplexity"])}
            costs = [f"{per_code[key]:.3f}" for key in ("static", "order_0", "prior_real", "prior", "payload")]
            shares = [f"{per_code['payload'] / per_code[key] - 1:+.1%}" for key in ("raw", "static", "order_0")]
            rows.append([_codes_name(run), of_map["map"], *costs, *shares])
    columns = ["codes", "map", "static", "order 0", "prior, real numbers", "prior, fixed point", "payload"]
    return table([*columns, "against 9 bits", "static", "order 0"], rows)


def files() -> str:
    """Returns what whole files take, against other coders and beyond the cross-entropy of their codes, over Kodak."""
    rows = []
    for run in _codes_runs():
        for maps, name in (("top_bottom", "top, bottom"), ("all_maps", "all")):
            sums = {key.removeprefix(f"{maps}_"): sum(row[key] for row in run["files"]) for key in run["files"][0] if key.startswith(maps)}
            against = [f"{sums['bytes'] / sums[key] - 1:+.1%}" if key in sums else "" for key in ("raw_bytes", "static_bytes")]
            streams = sums["bytes"] - sums["header_bytes"] - sums["cross_entropy_bytes"]
            beyond = max(row[f"{maps}_bytes"] - row[f"{maps}_cross_entropy_bytes"] for row in run["files"])
            shares = [f"{sums['header_bytes'] / sums['bytes']:.2%}", f"{streams / sums['bytes']:.2%}"]
            rows.append([_codes_name(run), name, *against, *shares, f"{beyond:.0f}"])
    columns = ["codes", "maps", "against 9 bits", "against static", "header", "streams", "most bytes beyond the cross-entropy"]
    return table(columns, rows)


def codebooks_use() -> str:
    """Returns the use of the model's codebooks over crops of training photos."""
    rows = [
        [row["name"], str(row["dead_codes"]), f"{row['perplexity']:.0f}", f"{row['entropy_bits']:.2f}"]
        for row in read_json(MODELS / DEFAULT_MODEL / "codes.json")["maps"]
    ]
    return table(["map", "dead codes", "perplexity", "bits a code, order 0"], rows)


def value_at(metric: Metric, points: Sequence[Point], bpp: float) -> float | None:
    """Returns a metric at a rate, or None where the points do not reach that rate or lie too far apart."""
    return _interpolated(bpp, [(point.bpp, value) for point in points if (value := metric.of(point)) is not None])


def _interpolated(bpp: float, known: Sequence[tuple[float, float]]) -> float | None:
    """Returns a value at a rate, linear in the logarithm of the rate, from pairs (bpp, value) in order of bpp."""
    if not known or not known[0][0] <= bpp <= known[-1][0]:
        return None
    rates, values = zip(*known, strict=True)
    after = max(1, int(np.searchsorted(rates, bpp)))
    if rates[after] / rates[after - 1] > MAX_STEP:
        return None
    return float(np.interp(np.log(bpp), np.log(rates), values))


def _curves(codecs: Sequence[ImageCodec] = CODECS) -> dict[str, list[Point]]:
    return mean_curves(current_rows("kodak", codecs))


def _measured(curves: Mapping[str, Sequence[Point]]) -> list[Metric]:
    """Returns the metrics that any point has."""
    return [metric for metric in METRICS if any(metric.of(point) is not None for points in curves.values() for point in points)]


def _rank(codec: str, rates: dict[str, list[float | None]], metrics: Sequence[int]) -> float:
    """Returns the mean, over those of the metrics that a codec has a rate of, of the number of codecs with a lower one."""
    ranks = []
    for number in metrics:
        if (rate := rates[codec][number]) is not None:
            ranks.append(sum(other[number] is not None and (other[number] or 0.0) < rate for other in rates.values()))
    return float(np.mean(ranks)) if ranks else math.inf


def _percent(rate: float | None) -> str:
    return NO_VALUE if rate is None else f"{rate:+.0f}%"


def _value(metric: Metric, point: Point) -> float:
    value = metric.of(point)
    if value is None:
        raise ValueError(f"{metric.title} of {point.setting} was not measured")
    return value


def _metric_cell(metric: Metric, value: float | None) -> str:
    return NO_VALUE if value is None else f"{value:.{metric.decimals}f}"


def _codes_runs() -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = read_json(RESULTS / f"codes-{DEFAULT_MODEL}.json")["runs"]
    return runs


def _codes_name(run: dict[str, Any]) -> str:
    return f"lambda {run['rate_weight']:.3g}" if run["rate_weight"] else "nearest"
