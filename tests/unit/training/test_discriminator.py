"""Checks what the discriminator of the perceptual decoder sees."""

import torch

from vqcodec.nn.configs import DiscriminatorConfig
from vqcodec.training.discriminator import PatchDiscriminator


def test_discriminator_sees_patches() -> None:
    discriminator = PatchDiscriminator(DiscriminatorConfig(channels=4)).eval()
    x = torch.zeros(1, 3, 64, 64)
    changed = x.clone()
    changed[:, :, :8, :8] = 1.0
    difference = (discriminator(x) - discriminator(changed)).abs()[0, 0]
    assert difference.shape == (8, 8) and difference[0, 0] > 0 and difference[4:, 4:].max() == 0
