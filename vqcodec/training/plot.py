"""A picture of a training run's log. It needs matplotlib, which the `train` extra installs."""

import importlib.util
from io import BytesIO
from typing import Any

from vqcodec.errors import ModelError
from vqcodec.format.container import map_name


def require_matplotlib() -> None:
    """Checks that matplotlib is installed.

    Raises:
        ModelError: Matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ModelError("drawing the training log needs matplotlib, of the extra [train]: pip install 'vqcodec[train]'")


def plot_training(log: list[dict[str, Any]]) -> bytes:
    """Draws held-out PSNR of every prefix of the maps, and perplexity of every codebook, over the hours of training.

    Args:
        log: the log of an autoencoder's run.

    Returns:
        A PNG file.

    Raises:
        ModelError: Matplotlib is not installed.
    """
    require_matplotlib()
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    held_out = [row for row in log if row["kind"] == "validation"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    hours = [row["elapsed_s"] / 3600 for row in held_out]
    for number in range(len(held_out[0]["psnr_db"]) if held_out else 0):
        label = map_name(number) if number == 0 else f"+ {map_name(number)}"
        left.plot(hours, [row["psnr_db"][number] for row in held_out], label=label)
        right.plot(hours, [row["perplexity"][number] for row in held_out], label=map_name(number))
    left.set(xlabel="hours", ylabel="held-out PSNR (dB)")
    right.set(xlabel="hours", ylabel="held-out perplexity")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        if held_out:
            axes.legend()
    out = BytesIO()
    figure.savefig(out, format="png", dpi=80)
    plt.close(figure)
    return out.getvalue()
