"""Residual blocks, which encoder and decoders are built from."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vqcodec.nn.configs import BlockKind


class ResidualBlock(nn.Module):
    """A residual block: x + conv1x1(silu(conv3x3(silu(x)))), whose last convolution starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_2 = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Maps [N, C, h, w] to [N, C, h, w]; without gradients it works in place, which saves memory and time."""
        in_place = not torch.is_grad_enabled()
        hidden: Tensor = self.conv_2(F.silu(self.conv_1(F.silu(x)), inplace=in_place))
        return hidden.add_(x) if in_place else x + hidden


class DepthwiseBlock(nn.Module):
    """A residual block of two fifths of the products: x + conv1x1(silu(depthwise3x3(conv1x1(silu(x))))), twice as wide within.

    Its last convolution starts at zero. Source: the inverted residuals of Sandler et al. 2018, "MobileNetV2", section 3.3, as learned video
    codecs for fast decoding have them (Jia et al. 2025, "Towards Practical Real-Time Neural Video Compression").
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(channels, 2 * channels, 1)
        self.depthwise = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.conv_2 = zeroed(nn.Conv2d(2 * channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Maps [N, C, h, w] to [N, C, h, w]; without gradients it works in place, which saves memory and time."""
        in_place = not torch.is_grad_enabled()
        hidden: Tensor = self.conv_2(F.silu(self.depthwise(self.conv_1(F.silu(x))), inplace=in_place))
        return hidden.add_(x) if in_place else x + hidden


def zeroed(conv: nn.Conv2d) -> nn.Conv2d:
    """Sets the weights and biases of a convolution to zero and returns it."""
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def residual_blocks(number: int, channels: int, kind: BlockKind = "full") -> nn.Sequential:
    """Returns a chain of residual blocks, of none where the number is 0."""
    block = ResidualBlock if kind == "full" else DepthwiseBlock
    return nn.Sequential(*(block(channels) for _ in range(number)))
