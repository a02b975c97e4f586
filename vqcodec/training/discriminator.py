"""The discriminator of patches that can take part in the training of a perceptual decoder."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from vqcodec.nn.configs import DiscriminatorConfig


class PatchDiscriminator(nn.Module):
    """A network that tells real photos from painted ones, patch by patch.

    Sources: Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks", section 3.2.2; spectral normalisation of
    Miyato et al. 2018.
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        widths = [3, config.channels, 2 * config.channels, 4 * config.channels]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [spectral_norm(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1)))

    def forward(self, x: Tensor) -> Tensor:
        """Returns a logit for each patch of 8x8 pixels and what lies around it, positive where it looks real.

        Args:
            x: [N, 3, H, W] in [-1, 1].

        Returns:
            [N, 1, H/8, W/8].
        """
        logits: Tensor = self.layers(x)
        return logits
