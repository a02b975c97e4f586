"""The beginning of a model card; what data the model saw, and what it is for, is the trainer's to say."""

from typing import Any

from vqcodec.training.run_log import LOG_NAME


def first_card(config: dict[str, Any], statistics: dict[str, Any], log: list[dict[str, Any]], *, recipe_name: str, plot_name: str) -> str:
    """Returns a model card of what export knows.

    Args:
        config: the model's config.json.
        statistics: use of the codebooks, its codes.json.
        log: the log of the autoencoder's run.
        recipe_name: name of the recipe in the model folder.
        plot_name: name of the plot of the log in the model folder.
    """
    held_out = [row for row in log if row["kind"] == "validation"]
    lines = [
        f"# {config['id']}",
        "",
        f"Number {config['number']}, {config['parameters'] / 1e6:.2f} M parameters, sha256 `{config['weights_sha256']}`. Trained by "
        f"[{recipe_name}]({recipe_name}) for {log[-1]['step']} steps and {log[-1]['elapsed_s'] / 3600:.2f} hours; "
        f"[{LOG_NAME}]({LOG_NAME}) is the log.",
        "",
        f"![The log as a plot]({plot_name})",
        "",
        f"Over {statistics['crops']} random {statistics['crop_size']}x{statistics['crop_size']} training crops"
        + (f", and on held-out photos after {held_out[-1]['step']} steps:" if held_out else ":"),
        "",
        "| map | dead codes | perplexity | bits/code, order 0 | held-out PSNR with the maps up to it |",
        "|---|---|---|---|---|",
    ]
    for number, row in enumerate(statistics["maps"]):
        psnr = f"{held_out[-1]['psnr_db'][number]:.2f} dB" if held_out else ""
        lines.append(f"| {row['name']} | {row['dead_codes']} | {row['perplexity']:.0f} | {row['entropy_bits']:.2f} | {psnr} |")
    return "\n".join([*lines, "", "Training data, intended use, limits: to be written.", ""])
