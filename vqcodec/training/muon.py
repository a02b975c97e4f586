"""The optimiser Muon for convolutions: momentum, orthogonalised by Newton-Schulz iterations.

Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks". `torch.optim.Muon` takes matrices only; here a
kernel [out, in, k, k] is handled as the matrix [out, in*k*k]. Meant for hidden layers; AdamW trains the rest.
"""

from collections.abc import Iterable
from typing import Final

import torch
from torch import Tensor
from torch.optim import Optimizer

_NEWTON_SCHULZ: Final = (3.4445, -4.7750, 2.0315)
"""Coefficients of x, x^3 and x^5 of an iteration; singular values approach 1 quickly and then stay near it."""


def orthogonalize(matrix: Tensor, steps: int = 5) -> Tensor:
    """Returns roughly the nearest semi-orthogonal matrices to `matrix`.

    Args:
        matrix: [..., rows, columns]; the work is done in bfloat16.
        steps: number of iterations; after 5, singular values are within about [0.7, 1.2].
    """
    a, b, c = _NEWTON_SCHULZ
    x = matrix.bfloat16()
    transposed = x.shape[-2] > x.shape[-1]
    if transposed:
        x = x.mT
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    orthogonal: Tensor = x.mT if transposed else x
    return orthogonal.to(matrix.dtype)


class Muon(Optimizer):
    """An optimiser whose updates are orthogonal matrices.

    Args:
        params: tensors of two or more dimensions.
        lr: learning rate; an update is a semi-orthogonal matrix times lr * sqrt(max(1, rows / columns)).
        momentum: factor of the Nesterov momentum, in [0, 1).
        weight_decay: factor of the decoupled weight decay, which is multiplied by lr.
    """

    def __init__(self, params: Iterable[Tensor], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__(list(params), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Updates the parameters from the gradients that they hold.

        Raises:
            ValueError: A closure is given, which is not supported.
        """
        if closure is not None:
            raise ValueError("closures are not supported")
        for group in self.param_groups:
            for params in _by_shape(group["params"]):
                states = [self.state[param] for param in params]
                for param, state in zip(params, states, strict=True):
                    state.setdefault("momentum", torch.zeros_like(param))
                momenta = [state["momentum"] for state in states]
                gradients = [param.grad for param in params if param.grad is not None]
                torch._foreach_lerp_(momenta, gradients, 1.0 - group["momentum"])
                nesterov = torch._foreach_lerp(gradients, momenta, group["momentum"])
                updates = orthogonalize(torch.stack([update.flatten(1) for update in nesterov]))
                scale = max(1.0, updates.shape[1] / updates.shape[2]) ** 0.5
                torch._foreach_mul_(params, 1.0 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(params, list(updates.view(-1, *params[0].shape)), alpha=-group["lr"] * scale)


def _by_shape(params: Iterable[Tensor]) -> Iterable[list[Tensor]]:
    """Groups the parameters that have a gradient by their shape, so that a GPU is given few and large products."""
    shapes: dict[torch.Size, list[Tensor]] = {}
    for param in params:
        if param.grad is not None:
            shapes.setdefault(param.shape, []).append(param)
    return shapes.values()
