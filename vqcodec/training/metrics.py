"""The figures that training runs report and write into their logs. Imports no torch."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The progress and the speed of a run.

    Attributes:
        step: number of finished steps.
        share: how much of the recipe's schedules is over, 0..1.
        images_per_s: crops or tiles a second since the last report.
        time_left_s: seconds to the end of the recipe at this speed, or of the time of a run by the clock.
        elapsed_s: seconds of training so far, over all resumed parts.
    """

    step: int
    share: float
    images_per_s: float
    time_left_s: float
    elapsed_s: float


@dataclass(frozen=True, kw_only=True)
class AutoencoderMetrics(Timing):
    """Means over the steps since the last report, beside its progress and speed.

    Attributes:
        loss: training loss.
        psnr_db: PSNR of the training crops, averaged over crops and their random numbers of maps.
        perplexity: perplexity of each codebook in a batch.
        revived: number of codes that were moved since the last report.
        bits_per_code: bits a code of each map by its prior, over the crops that have the map, where priors learn along.
        lpips: LPIPS of the crops that a perceptual decoder painted, by each network in the loss, where such a decoder learns along.
    """

    loss: float
    psnr_db: float
    perplexity: tuple[float, ...]
    revived: int
    bits_per_code: tuple[float, ...] = ()
    lpips: tuple[float, ...] = ()


@dataclass(frozen=True)
class AutoencoderValidation:
    """Held-out figures.

    Attributes:
        step: number of finished steps.
        elapsed_s: seconds of training so far.
        psnr_db: mean PSNR of each prefix of the maps.
        perplexity: perplexity of each map over all crops.
        perceptual_psnr_db, perceptual_lpips: mean PSNR of each prefix, and LPIPS by the first network in the loss, by the perceptual
            decoder that learns along; empty where none does.
    """

    step: int
    elapsed_s: float
    psnr_db: tuple[float, ...]
    perplexity: tuple[float, ...]
    perceptual_psnr_db: tuple[float, ...] = ()
    perceptual_lpips: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PriorMetrics(Timing):
    """Means over the steps since the last report, beside its progress and speed.

    Attributes:
        bits_per_code: bits a code of training tiles.
    """

    bits_per_code: float


@dataclass(frozen=True)
class PriorValidation:
    """Figures of the averaged weights.

    Attributes:
        step: number of finished steps.
        elapsed_s: seconds of training so far.
        bits_per_code_real: bits a code of held-out tiles in real numbers.
        bits_per_code_fixed: bits a code of held-out tiles in fixed point.
        training_bits_per_code_real: bits a code of training tiles in real numbers.
    """

    step: int
    elapsed_s: float
    bits_per_code_real: float
    bits_per_code_fixed: float
    training_bits_per_code_real: float


@dataclass(frozen=True, kw_only=True)
class DecoderMetrics(Timing):
    """Means over the steps since the last report, beside its progress and speed.

    Attributes:
        psnr_db: PSNR of training crops.
        lpips_vgg: LPIPS (VGG) of training crops.
        logit_real, logit_painted: logits of the discriminator for real and for painted patches; 0 before it learns.
    """

    psnr_db: float
    lpips_vgg: float
    logit_real: float
    logit_painted: float


@dataclass(frozen=True)
class DecoderValidation:
    """Held-out figures of the averaged weights, one value for each of the recipe's `validation_points`.

    Attributes:
        step: number of finished steps.
        elapsed_s: seconds of training so far.
        bpp: mean bits a pixel of the files.
        psnr_db: mean PSNR.
        lpips_alex, lpips_vgg: mean LPIPS by either network.
        dists: mean DISTS, by which a discriminator is judged; empty where its weights are not installed.
    """

    step: int
    elapsed_s: float
    bpp: tuple[float, ...]
    psnr_db: tuple[float, ...]
    lpips_alex: tuple[float, ...]
    lpips_vgg: tuple[float, ...]
    dists: tuple[float, ...] = ()
