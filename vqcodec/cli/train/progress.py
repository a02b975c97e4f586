"""The lines by which a training run tells how it is getting on: one beside the progress bar, one for each validation."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vqcodec.training.autoencoder import AutoencoderMetrics, AutoencoderValidation
    from vqcodec.training.decoder import DecoderMetrics, DecoderValidation
    from vqcodec.training.prior import PriorMetrics, PriorValidation


def autoencoder_step(metrics: "AutoencoderMetrics") -> str:
    """Returns what is shown of the training of an autoencoder."""
    perplexity = "/".join(f"{value:.0f}" for value in metrics.perplexity)
    return (
        f"step {metrics.step}  loss {metrics.loss:.4f}  PSNR {metrics.psnr_db:.2f} dB  perplexity {perplexity}  {_speed(metrics, 'images')}"
    )


def autoencoder_held_out(metrics: "AutoencoderValidation") -> str:
    """Returns what is shown of an autoencoder's validation: PSNR of each prefix of the maps."""
    psnr = " ".join(f"{value:.2f}" for value in metrics.psnr_db)
    return f"held out after {metrics.step} steps: PSNR {psnr} dB"


def prior_step(metrics: "PriorMetrics") -> str:
    """Returns what is shown of the training of a prior."""
    return f"step {metrics.step}  {metrics.bits_per_code:.3f} bits/code  {_speed(metrics, 'tiles')}"


def prior_held_out(metrics: "PriorValidation") -> str:
    """Returns what is shown of a prior's validation: bits a code in real numbers and in fixed point, and of training tiles."""
    return (
        f"held out after {metrics.step} steps: {metrics.bits_per_code_real:.4f} bits/code, "
        f"{metrics.bits_per_code_fixed:.4f} in fixed point; training photos {metrics.training_bits_per_code_real:.4f}"
    )


def decoder_step(metrics: "DecoderMetrics") -> str:
    """Returns what is shown of the training of a perceptual decoder."""
    return (
        f"step {metrics.step}  PSNR {metrics.psnr_db:.2f} dB  LPIPS {metrics.lpips_vgg:.4f}  real {metrics.logit_real:+.2f}  "
        f"painted {metrics.logit_painted:+.2f}  {_speed(metrics, 'images')}"
    )


def decoder_held_out(metrics: "DecoderValidation") -> str:
    """Returns what is shown of a perceptual decoder's validation: rate, PSNR and LPIPS by AlexNet and VGG at each operating point."""
    figures = zip(metrics.bpp, metrics.psnr_db, metrics.lpips_alex, metrics.lpips_vgg, strict=True)
    points = "; ".join(f"{bpp:.3f} bpp {psnr:.2f} dB, LPIPS {alex:.4f} / {vgg:.4f}" for bpp, psnr, alex, vgg in figures)
    return f"held out after {metrics.step} steps: {points}"


def _speed(metrics: "AutoencoderMetrics | DecoderMetrics | PriorMetrics", unit: str) -> str:
    return f"{metrics.images_per_s:.1f} {unit}/s  {metrics.time_left_s / 60:.0f} min left"
