"""Tables of the rate-distortion benchmark for README, from its rows."""

from typing import Final

import numpy as np

from bench.images import RESULTS, read_json
from bench.rd import current_rows
from vqcodec.compare.bd_rate import MAX_STEP, bd_rate
from vqcodec.compare.rows import METRICS, Metric, Point, mean_curves
from vqcodec.models.registry import DEFAULT_MODEL, find_model

ANCHOR: Final = "jpeg"
SPOT_BPP: Final = 0.39
INDEPENDENT: Final = {"jpeg": (28.5, 0.229), "webp": (30.4, 0.188), "avif": (31.7, 0.152)}
"""PSNR and LPIPS (AlexNet) at `SPOT_BPP` on Kodak, as others measured them with the same settings."""
LOW_RATES_BPP: Final = (0.1, 0.15, 0.2, 0.3, 0.4)
LOW_RATE_OURS: Final = ("vqcodec", "vqcodec-perceptual")
LOW_RATE_OTHERS: Final = ("jpeg", "webp", "avif")
SEMANTICS_BPP: Final = (0.15, 0.3, 0.6)


def _kodak_curves() -> dict[str, list[Point]]:
    return mean_curves(current_rows("kodak"))


def bd_rate_table() -> str:
    """BD-rate of every codec by every metric, best mean rank first; a dash where curves do not share enough quality."""
    curves = _kodak_curves()
    rates = {
        codec: [bd_rate(metric, curves[ANCHOR], points, codec).bd_rate_percent for metric in METRICS] for codec, points in curves.items()
    }
    order = sorted(rates, key=lambda codec: _mean_rank(codec, rates))
    lines = [f"| codec | {' | '.join(metric.title for metric in METRICS)} |", f"|---|{'---|' * len(METRICS)}"]
    for codec in order:
        lines.append(f"| {codec} | {' | '.join('–' if rate is None else f'{rate:+.0f}%' for rate in rates[codec])} |")
    return "\n".join([f"BD-rate against {ANCHOR} on Kodak, fewer bytes are negative:", "", *lines])


def chosen_gain() -> str:
    """Codes chosen by their cost against the nearest codes of the same model, where both have points close enough."""
    curves = _kodak_curves()
    nearest = curves["vqcodec-nearest"]
    first = max((number for number in range(1, len(nearest)) if nearest[number].bpp > MAX_STEP * nearest[number - 1].bpp), default=0)
    parts = []
    for codec in ("vqcodec-psnr", "vqcodec"):
        rates = {metric.title: bd_rate(metric, nearest[first:], curves[codec], codec).bd_rate_percent for metric in METRICS}
        known = ", ".join(f"{rate:+.0f}% in {title}" for title, rate in rates.items() if rate is not None) or "none"
        unknown = ", ".join(title for title, rate in rates.items() if rate is None)
        parts.append(f"{codec} {known}" + (f", and in {unknown} the curves share too little" if unknown else ""))
    return (
        "Codes chosen by their cost against the nearest codes of the same model, for which it was not trained, BD-rate from "
        f"{nearest[first].bpp:.2f} bpp on: {'; '.join(parts)}."
    )


def _mean_rank(codec: str, rates: dict[str, list[float | None]]) -> float:
    ranks = []
    for number, rate in enumerate(rates[codec]):
        if rate is not None:
            ranks.append(sum(other[number] is not None and (other[number] or 0.0) < rate for other in rates.values()))
    return float(np.mean(ranks)) if ranks else len(rates)


def spot_table() -> str:
    """Every metric of every codec at one rate, interpolated in log rate; a dash where the codec's settings do not reach it."""
    lines = [f"| at {SPOT_BPP} bpp | {' | '.join(metric.title for metric in METRICS)} |", f"|---|{'---|' * len(METRICS)}"]
    for codec, points in sorted(_kodak_curves().items(), key=lambda item: -(value_at(METRICS[0], item[1]) or 0.0)):
        values = [(metric, value_at(metric, points)) for metric in METRICS]
        lines.append(f"| {codec} | {' | '.join('–' if value is None else f'{value:.{metric.decimals}f}' for metric, value in values)} |")
    return "\n".join(lines)


def spot_check() -> str:
    """How far the figures at one rate are from others' measurements."""
    curves = _kodak_curves()
    alex = next(metric for metric in METRICS if metric.key == "lpips_alex")
    differences = [
        (abs((value_at(METRICS[0], curves[name]) or 0.0) - psnr_db), abs((value_at(alex, curves[name]) or 0.0) - lpips))
        for name, (psnr_db, lpips) in INDEPENDENT.items()
    ]
    figures = "; ".join(f"{name} {psnr_db} dB, LPIPS {lpips}" for name, (psnr_db, lpips) in INDEPENDENT.items())
    largest_db, largest_lpips = (max(values) for values in zip(*differences, strict=True))
    return f"Measured before, by other scripts: {figures}; the differences are at most {largest_db:.2f} dB and {largest_lpips:.3f}."


def low_rates_table() -> str:
    """LPIPS at low rates, of vqcodec and of what people use instead."""
    curves = _kodak_curves()
    shown = [name for name in (*LOW_RATE_OURS, *LOW_RATE_OTHERS) if name in curves]
    lines = [f"| LPIPS (AlexNet / VGG) | {' | '.join(f'{bpp} bpp' for bpp in LOW_RATES_BPP)} |", f"|---|{'---|' * len(LOW_RATES_BPP)}"]
    alex, vgg = (next(metric for metric in METRICS if metric.key == key) for key in ("lpips_alex", "lpips_vgg"))
    for name in shown:
        cells = []
        for bpp in LOW_RATES_BPP:
            values = [value_at(metric, curves[name], bpp) for metric in (alex, vgg)]
            cells.append(" / ".join("–" if value is None else f"{value:.3f}" for value in values) if any(values) else "–")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def dial_table() -> str:
    """Vqcodec along its dial."""
    config = find_model(DEFAULT_MODEL)
    shown = [metric for metric in METRICS if metric.key != "lpips_vgg"]
    lines = [
        f"| quality | maps | lambda | bpp | {' | '.join(metric.title for metric in shown)} |",
        f"|---|---|---|---|{'---|' * len(shown)}",
    ]
    for point in _kodak_curves()["vqcodec"]:
        at = config.operating_point(int(point.setting.removeprefix("q")))
        values = " | ".join(f"{metric.of(point):.{metric.decimals}f}" for metric in shown)
        lines.append(f"| {point.setting.removeprefix('q')} | {at.num_maps} | {at.rate_weight:.3g} | {point.bpp:.3f} | {values} |")
    return "\n".join(lines)


def value_at(metric: Metric, points: list[Point], bpp: float = SPOT_BPP) -> float | None:
    """A metric at a rate, interpolated in the rate's logarithm; None where the points do not reach that rate."""
    return _interpolated(bpp, [(point.bpp, value) for point in points if (value := metric.of(point)) is not None])


def _interpolated(bpp: float, known: list[tuple[float, float]]) -> float | None:
    """A value at a rate, linear in log rate, from (bpp, value) in order of bpp; None where they do not reach it or lie too far apart."""
    if not known or not known[0][0] <= bpp <= known[-1][0]:
        return None
    rates, values = zip(*known, strict=True)
    after = max(1, int(np.searchsorted(rates, bpp)))
    if rates[after] / rates[after - 1] > MAX_STEP:
        return None
    return float(np.interp(np.log(bpp), np.log(rates), values))


def semantics_table() -> str:
    """Top-1 agreement of a classifier before and after each codec, at some rates."""
    result = read_json(RESULTS / "semantics-val.json")
    codecs: dict[str, list[tuple[float, float]]] = {}
    for row in result["rows"]:
        codecs.setdefault(row["codec"], []).append((row["bpp"], row["top_1_agreement"]))
    half_width = 1.96 * 0.5 / np.sqrt(result["count"])
    lines = [
        f"{result['count']} photos, {result['distinct_classes']} classes; by chance alone a share is off by up to {half_width:.0%} (95 %):",
        "",
        f"| top-1 agreement | {' | '.join(f'{bpp} bpp' for bpp in SEMANTICS_BPP)} |",
        f"|---|{'---|' * len(SEMANTICS_BPP)}",
    ]
    for codec, points in codecs.items():
        values = [_interpolated(bpp, sorted(points)) for bpp in SEMANTICS_BPP]
        lines.append(f"| {codec} | {' | '.join('–' if value is None else f'{value:.1%}' for value in values)} |")
    return "\n".join(lines)
