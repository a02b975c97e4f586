"""Pictures between those of the faithful and of the perceptual decoder."""

from torch import Tensor, nn

from vqcodec.nn.autoencoder.vqvae import VQVAE, Painter


class BlendedPainter(nn.Module):
    """Pixels between those of a network and of a painter; both paint, since weights between theirs may paint worse than either."""

    def __init__(self, network: VQVAE, painter: Painter, share: float) -> None:
        super().__init__()
        self.config = painter.config
        self.network, self.painter, self.share = network, painter, share

    def forward(self, z_q_top: Tensor, z_q_bottom: Tensor, num_maps: Tensor) -> Tensor:
        """As `Painter.forward`."""
        faithful = self.network.paint(z_q_top, z_q_bottom, num_maps).float()
        return faithful.lerp(self.painter(z_q_top, z_q_bottom, num_maps).float(), self.share)
