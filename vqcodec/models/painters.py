"""Which decoder paints the pictures of a model."""

from vqcodec.models.model import Model, load_decoder
from vqcodec.nn.autoencoder.painting import Painter


def load_painter(model: Model, realism: float) -> Painter:
    """Returns what paints a model's pictures with more or less invented detail; the arguments and errors are those of `load_decoder`."""
    decoder = load_decoder(model, realism)
    import torch

    from vqcodec.nn.autoencoder.torch_painter import TorchPainter

    return TorchPainter(torch.from_numpy(model.codebooks).to(model.device), decoder)
