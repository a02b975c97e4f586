"""vqcodec itself as one of the codecs that are compared."""

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Final

import numpy as np

import vqcodec
from vqcodec.codec.loaded import Codec, open_model
from vqcodec.compare.codecs import ImageCodec, Pixels
from vqcodec.encoding.options import Coder, EncodeOptions
from vqcodec.errors import ModelError
from vqcodec.format.container import FORMAT_VERSION
from vqcodec.models.dial import Tune
from vqcodec.models.painters import load_painter
from vqcodec.models.registry import DEFAULT_MODEL

_TRIAL_PX: Final = 128
"""Side of the trial picture in pixels."""


@dataclass(frozen=True)
class Vqcodec(ImageCodec):
    """vqcodec along its dial (knob `q`) or by numbers of maps (knob `maps`).

    Attributes:
        model_id: id or folder of the model.
        rate_weight: lambda; None for that of the dial.
        coder: coder of all maps; None for the smallest.
        realism: weight of the perceptual decoder's pixels, 0 to 1.
        tune: what the dial and the choice of codes are tuned for.
    """

    name: str = "vqcodec"
    model_id: str = DEFAULT_MODEL
    rate_weight: float | None = None
    coder: Coder | None = None
    realism: float = 0.0
    tune: Tune = "iq"
    knob: str = "q"
    settings: tuple[float, ...] = (1, 4, 7, 8, 22, 36, 50, 63, 76, 88, 100)

    def version(self) -> str:
        """Returns `model_version` with the digest of a trial: a small picture, encoded and decoded at some of the settings.

        This digest changes with the encoder's choices and with what paints, which may differ from machine to machine, too.

        Raises:
            ImportError: The model lacks the dial or the decoder.
        """
        return f"{self.model_version()}, trial {self._trial()}"

    def model_version(self) -> str:
        """Returns the versions of vqcodec and of its format, with digests of weights, of the dial at the settings, and of the decoder.

        Raises:
            ImportError: The model lacks the dial or the decoder.
        """
        model = _opened(self.model_id).model
        try:
            load_painter(model, self.realism)
            dial = model.config.dial(self.tune)
        except ModelError as error:
            raise ImportError(str(error)) from error
        parts = [f"vqcodec {vqcodec.__version__}", f"format {FORMAT_VERSION}", f"{model.config.id} {model.config.weights_sha256[:8]}"]
        if self.knob == "q":
            parts.append(f"dial {dial.digest(self.settings)}")
        if self.realism and model.config.perceptual_sha256:
            parts.append(f"perceptual {model.config.perceptual_sha256[:8]}")
        if model.device != "cpu":
            parts.append(model.device)
        return ", ".join(parts)

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """Returns the file of a picture, at a quality or with a number of maps."""
        options = EncodeOptions(rate_weight=self.rate_weight, tune=self.tune, coder=self.coder)
        options |= EncodeOptions(quality=setting) if self.knob == "q" else EncodeOptions(num_maps=int(setting))
        return _opened(self.model_id).encode(pixels, **options)

    def decode(self, data: bytes) -> Pixels:
        """Returns the picture of a file, painted with the codec's realism."""
        return np.asarray(_opened(self.model_id).decode(data, realism=self.realism).convert("RGB"))

    def _trial(self) -> str:
        """Returns the digest of the files of a trial picture and of what is painted from them."""
        digest = sha256()
        for setting in (self.settings[0], self.settings[len(self.settings) // 2], self.settings[-1]):
            data = self.encode(_trial_picture(), setting)
            digest.update(data)
            digest.update(self.decode(data).tobytes())
        return digest.hexdigest()[:8]


def _trial_picture() -> Pixels:
    """Returns a picture of a slope of colours with noise in its lower half, as photos have flat and lively parts."""
    rows, columns = np.mgrid[0:_TRIAL_PX, 0:_TRIAL_PX]
    slope = np.stack([rows, columns, _TRIAL_PX - rows], axis=-1) * (200 / _TRIAL_PX)
    noise = np.random.default_rng(0).integers(0, 48, slope.shape) * (rows >= _TRIAL_PX // 2)[..., None]
    picture: Pixels = (slope + noise).astype(np.uint8)
    return picture


@cache
def _opened(model_id: str) -> Codec:
    return open_model(model_id)


VQCODEC: Final = (
    Vqcodec(),
    Vqcodec("vqcodec-psnr", tune="psnr", settings=(22, 36, 50, 63, 76, 88, 100)),
    Vqcodec("vqcodec-perceptual", realism=1.0, tune="perceptual", settings=(7, 8, 20, 33, 47, 61, 62, 76, 88)),
    Vqcodec("vqcodec-nearest", rate_weight=0.0, knob="maps", settings=(1, 2, 3, 4)),
    Vqcodec("vqcodec-static", rate_weight=0.0, coder="static", knob="maps", settings=(1, 2, 3, 4)),
    Vqcodec("vqcodec-raw", rate_weight=0.0, coder="raw", knob="maps", settings=(1, 2, 3, 4)),
)
"""vqcodec with the settings that are compared by default."""
