"""The lines by which a training run tells how it is getting on: one beside the progress bar, one for each validation."""

from functools import singledispatch

from vqcodec.cli.progress import duration
from vqcodec.training.metrics import (
    AutoencoderMetrics,
    AutoencoderValidation,
    DecoderMetrics,
    DecoderValidation,
    PriorMetrics,
    PriorValidation,
)


@singledispatch
def line(metrics: object) -> str:
    """Returns the figures of a run as one line of text.

    Raises:
        TypeError: The figures are of no kind of run.
    """
    raise TypeError(f"no figures of a training run: {metrics!r}")


@line.register
def _(metrics: AutoencoderMetrics) -> str:
    perplexity = "/".join(f"{value:.0f}" for value in metrics.perplexity)
    lpips = "".join(f"  LPIPS {value:.4f}" for value in metrics.lpips)
    return (
        f"step {metrics.step}  loss {metrics.loss:.4f}  PSNR {metrics.psnr_db:.2f} dB{lpips}  perplexity {perplexity}  "
        f"{_speed(metrics, 'images')}"
    )


@line.register
def _(metrics: AutoencoderValidation) -> str:
    psnr = " ".join(f"{value:.2f}" for value in metrics.psnr_db)
    text = f"held out after {metrics.step} steps: PSNR {psnr} dB"
    if metrics.perceptual_lpips:
        figures = zip(metrics.perceptual_psnr_db, metrics.perceptual_lpips, strict=True)
        text += f"; by the perceptual decoder {' '.join(f'{psnr_db:.2f}/{lpips:.4f}' for psnr_db, lpips in figures)} dB/LPIPS"
    return text


@line.register
def _(metrics: PriorMetrics) -> str:
    return f"step {metrics.step}  {metrics.bits_per_code:.3f} bits/code  {_speed(metrics, 'tiles')}"


@line.register
def _(metrics: PriorValidation) -> str:
    return (
        f"held out after {metrics.step} steps: {metrics.bits_per_code_real:.4f} bits/code, "
        f"{metrics.bits_per_code_fixed:.4f} in fixed point; training photos {metrics.training_bits_per_code_real:.4f}"
    )


@line.register
def _(metrics: DecoderMetrics) -> str:
    return (
        f"step {metrics.step}  PSNR {metrics.psnr_db:.2f} dB  LPIPS {metrics.lpips_vgg:.4f}  real {metrics.logit_real:+.2f}  "
        f"painted {metrics.logit_painted:+.2f}  {_speed(metrics, 'images')}"
    )


@line.register
def _(metrics: DecoderValidation) -> str:
    dists = [f", DISTS {value:.4f}" for value in metrics.dists] or [""] * len(metrics.bpp)
    figures = zip(metrics.bpp, metrics.psnr_db, metrics.lpips_alex, metrics.lpips_vgg, dists, strict=True)
    points = "; ".join(f"{bpp:.3f} bpp {psnr:.2f} dB, LPIPS {alex:.4f} / {vgg:.4f}{last}" for bpp, psnr, alex, vgg, last in figures)
    return f"held out after {metrics.step} steps: {points}"


def _speed(metrics: AutoencoderMetrics | DecoderMetrics | PriorMetrics, unit: str) -> str:
    return f"{metrics.images_per_s:.1f} {unit}/s  {duration(metrics.time_left_s)} left"
