"""What runs the encoder networks of a model. Imports torch or OpenVINO when an encoder is loaded."""

from functools import lru_cache
from threading import Lock
from typing import Final

from vqcodec.models.model import Model
from vqcodec.models.weights import misfits_told
from vqcodec.nn.autoencoder.blocks import Encoder
from vqcodec.nn.runtime import has_fast_runtime

_LOADING: Final = Lock()
"""Lets one thread make an encoder that others want, too."""


def load_encoder(model: Model) -> Encoder:
    """Returns the encoder networks of a model.

    Raises:
        ModelError: The model's weights do not fit its config.
    """
    if has_fast_runtime(model.device):
        with _LOADING:
            return _fast_encoder(model)
    from vqcodec.nn.autoencoder.torch_encoder import TorchEncoder

    return TorchEncoder(model.network)


@lru_cache(maxsize=4)
def _fast_encoder(model: Model) -> Encoder:
    from vqcodec.nn.autoencoder.openvino_encoder import Graphs, OpenvinoEncoder

    with misfits_told(model.config.weights_path):
        return OpenvinoEncoder(model.codebooks, Graphs(model.stored_network))
