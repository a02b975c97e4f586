"""The command `vqcodec models`."""

import json
from typing import Any

import click

from vqcodec.cli.messages import tell
from vqcodec.cli.options import json_option
from vqcodec.models.registry import DEFAULT_MODEL, list_models


@click.command()
@json_option
def models(as_json: bool) -> None:
    """List the models that are found.

    These are the installed ones, and those in the folders that VQCODEC_MODELS names.
    """
    rows: list[dict[str, Any]] = [
        {
            "id": config.id,
            "number": config.number,
            "parameters": config.parameters,
            "num_bytes": config.weights_path.stat().st_size if config.weights_path.exists() else 0,
            "weights_sha256": config.weights_sha256,
            "is_default": config.id == DEFAULT_MODEL,
            "has_perceptual_decoder": config.perceptual_sha256 is not None,
            "folder": str(config.folder),
        }
        for config in list_models(lambda error: tell(f"left out: {error}"))
    ]
    for row in rows:
        if as_json:
            click.echo(json.dumps(row))
        else:
            marks = "  perceptual decoder" * row["has_perceptual_decoder"] + "  default" * row["is_default"]
            click.echo(
                f"{row['id']:<16} {row['parameters'] / 1e6:.2f} M parameters in the autoencoder  {row['num_bytes'] / 2**20:.1f} MiB  "
                f"sha256 {row['weights_sha256'][:16]}{marks}"
            )
