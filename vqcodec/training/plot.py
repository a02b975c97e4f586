"""The log of a training run as a picture. Needs matplotlib (the `train` extra)."""

import importlib.util
from pathlib import Path

from vqcodec.errors import ModelError
from vqcodec.format.container import map_name
from vqcodec.training.loop import read_metrics


def require_matplotlib() -> None:
    """Raises ModelError where matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ModelError("drawing the training log needs matplotlib, of the extra [train]; in the project's folder: pip install '.[train]'")


def plot_training(log: Path, target: Path) -> None:
    """Draws held-out PSNR of every prefix and perplexity of every codebook over the hours.

    Args:
        log: `metrics.jsonl` of a run.
        target: the picture to write.

    Raises:
        ModelError: matplotlib is not installed.
    """
    require_matplotlib()
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    held_out = [row for row in read_metrics(log) if row["kind"] == "validation"]
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
    figure.savefig(target, dpi=80)
    plt.close(figure)
