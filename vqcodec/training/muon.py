"""Muon for convolutions: momentum, orthogonalised by Newton-Schulz iterations.

Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks". `torch.optim.Muon` takes matrices only; here a
kernel [out, in, k, k] is handled as the matrix [out, in*k*k]. Meant for hidden layers; AdamW trains the rest.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalize(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrix to [rows, cols], roughly: singular values end within about [0.7, 1.2]. bfloat16 inside."""
    a, b, c = _NEWTON_SCHULZ
    x = matrix.bfloat16()
    transposed = x.shape[0] > x.shape[1]
    if transposed:
        x = x.t()
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.t()
        x = a * x + (b * gram + c * gram @ gram) @ x
    orthogonal: Tensor = x.t() if transposed else x
    return orthogonal.to(matrix.dtype)


class Muon(Optimizer):
    """The optimiser.

    Args:
        params: tensors of two or more dimensions.
        lr: step length; an update is a semi-orthogonal matrix times lr * sqrt(max(1, rows / columns)).
        momentum: Nesterov momentum, in [0, 1).
        weight_decay: decoupled, multiplied by lr.
    """

    def __init__(self, params: Iterable[Tensor], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__(list(params), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update from the gradients that the parameters hold; `closure` is not supported."""
        if closure is not None:
            raise ValueError("closures are not supported")
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(param)
                momentum = state["momentum"]
                momentum.lerp_(param.grad, 1.0 - group["momentum"])
                update = orthogonalize(param.grad.lerp(momentum, group["momentum"]).flatten(1))
                scale = max(1.0, update.shape[0] / update.shape[1]) ** 0.5
                param.mul_(1.0 - group["lr"] * group["weight_decay"])
                param.add_(update.view_as(param), alpha=-group["lr"] * scale)
