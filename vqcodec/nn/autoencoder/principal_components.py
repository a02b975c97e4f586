"""Principal components, which make a pair of 1x1 convolutions a linear transform codec."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def set_principal_components(encode: nn.Conv2d, decode: nn.Conv2d, patches: Tensor) -> Tensor:
    """Makes two 1x1 convolutions project patches [N, C, h, w] onto their first principal components and back.

    Args:
        encode: convolution that will project a patch onto as many components as it has outputs.
        decode: convolution that will take the components back to a patch, less the mean.
        patches: [N, C, h, w], the patches whose components are taken.

    Returns:
        The mean patch, [C].
    """
    vectors = patches.permute(0, 2, 3, 1).flatten(0, 2)
    mean = vectors.mean(dim=0)
    centred = vectors - mean
    eigenvalues, eigenvectors = torch.linalg.eigh(centred.t() @ centred / len(centred))
    components = eigenvectors[:, -encode.out_channels :]
    scale = eigenvalues[-encode.out_channels :].mean().sqrt()
    assert encode.bias is not None
    encode.weight.copy_((components.t() / scale)[:, :, None, None])
    encode.bias.copy_(-(components.t() @ mean) / scale)
    decode.weight.copy_((components * scale)[:, :, None, None])
    return mean
