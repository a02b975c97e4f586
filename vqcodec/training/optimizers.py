"""The optimisers of a network, their learning rates, and the moving average of its weights, as a recipe has them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from vqcodec.training.muon import Muon
from vqcodec.training.recipe import Recipe


class AveragedNetwork(AveragedModel):
    """A copy of a network whose weights and buffers, which are real numbers all, follow those of the network as moving averages.

    Args:
        network: the network.
        decay: decay of the averages.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, use_buffers=True)
        self.decay = decay

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Moves the averages towards the weights, the first time onto them. What it overrides waits for the device at every step."""
        averages, values = ([*module.parameters(), *module.buffers()] for module in (self.module, model))
        torch._foreach_lerp_(averages, values, 1 - self.decay if self.n_averaged > 0 else 1.0)
        self.n_averaged += 1


def averaged_copy(network: nn.Module, recipe: Recipe) -> AveragedNetwork:
    """Returns a copy of a network that follows it as the moving average of its weights."""
    return AveragedNetwork(network, recipe.weights_ema_decay)


def make_optimizers(network: nn.Module, recipe: Recipe, is_hidden: Callable[[str], bool]) -> list[torch.optim.Optimizer]:
    """Returns the optimisers of a network: Muon, where the recipe has it, for the matrices of hidden layers, and AdamW for the rest.

    Args:
        network: the network to be trained.
        recipe: the settings of the run.
        is_hidden: function that tells by a parameter's name whether it belongs to a hidden layer.
    """
    hidden: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        is_matrix = parameter.ndim >= 2 and parameter.shape[1] > 1  # kernels of depthwise convolutions are none
        by_muon = recipe.optimizer == "muon" and is_matrix and is_hidden(name)
        (hidden if by_muon else rest).append(parameter)
    on_gpu = rest[0].device.type == "cuda"
    adamw = torch.optim.AdamW(rest, lr=recipe.lr_adamw, betas=(0.9, 0.98), weight_decay=0.0, foreach=not on_gpu, fused=on_gpu)
    if not hidden:
        return [adamw]
    return [Muon(hidden, lr=recipe.lr_muon, weight_decay=recipe.weight_decay), adamw]


def clip_gradients(network: nn.Module, largest: float) -> Tensor:
    """Scales the gradients of a network down to a norm of at most `largest`.

    Returns:
        The norm before, a scalar on the network's device; 0 where no parameter has a gradient, for which torch's function gives a scalar
        on the CPU.
    """
    parameters = list(network.parameters())
    if all(parameter.grad is None for parameter in parameters):
        return torch.zeros((), device=parameters[0].device)
    return nn.utils.clip_grad_norm_(parameters, largest)


def learning_state(network: nn.Module, averaged: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, Any]:
    """Returns the states of a network that learns, of its moving average and of its optimisers, as a checkpoint holds them."""
    return {
        "network": network.state_dict(),
        "averaged": averaged.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }


def load_learning_state(
    state: dict[str, Any], network: nn.Module, averaged: nn.Module, optimizers: Sequence[torch.optim.Optimizer]
) -> None:
    """Goes on from what `learning_state` returned of a network of the same shape."""
    network.load_state_dict(state["network"])
    averaged.load_state_dict(state["averaged"])
    for optimizer, optimizer_state in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(optimizer_state)


def set_learning_rates(optimizers: list[torch.optim.Optimizer], recipe: Recipe, factor: float) -> None:
    """Sets the learning rates to `factor` times the recipe's peaks."""
    for optimizer, peak in zip(reversed(optimizers), (recipe.lr_adamw, recipe.lr_muon), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = peak * factor
