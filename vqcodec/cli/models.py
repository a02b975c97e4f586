"""The command `vqcodec models`."""

import json
from typing import Any

import click

from vqcodec.cli.files import check_standard_output
from vqcodec.cli.messages import one_line, tell
from vqcodec.cli.options import examples, json_option
from vqcodec.models.config import ModelConfig
from vqcodec.models.registry import DEFAULT_MODEL, list_models, origin_of, source_of


@click.group(invoke_without_command=True, epilog=examples("models", "models add my-models/draft"))
@json_option
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """List the models that are found, add or remove some.

    These are the ones in the folders that VQCODEC_MODELS names, those that ship with vqcodec, and those that were added.
    """
    if ctx.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError(f"--json is for the list of models, and not for {ctx.invoked_subcommand}")
        return
    check_standard_output()
    for row in map(_row, list_models(lambda error: tell(f"left out: {error}"))):
        if as_json:
            click.echo(json.dumps(row))
        else:
            marks = "  perceptual decoder" * row["has_perceptual_decoder"] + "  default" * row["is_default"]
            source = f" from {row['source']}" if row["source"] else ""
            commit = f" ({row['commit'][:12]})" if row["commit"] else ""
            click.echo(
                one_line(
                    f"{row['id']:<16} {row['parameters'] / 1e6:.2f} M parameters in the autoencoder  {row['num_bytes'] / 2**20:.1f} MiB  "
                    f"sha256 {row['weights_sha256'][:16]}  {row['origin']}{source}{commit}{marks}"
                )
            )


def _row(config: ModelConfig) -> dict[str, Any]:
    origin = origin_of(config)
    source = source_of(config) if origin == "added" else None
    return {
        "id": config.id,
        "number": config.number,
        "parameters": config.parameters,
        "num_bytes": config.weights_path.stat().st_size if config.weights_path.exists() else 0,
        "weights_sha256": config.weights_sha256,
        "is_default": config.id == DEFAULT_MODEL,
        "has_perceptual_decoder": config.perceptual_sha256 is not None,
        "folder": str(config.folder),
        "origin": origin,
        "source": None if source is None else source.name,
        "commit": None if source is None else source.commit,
    }


@models.command(epilog=examples("models add my-models/draft", "models add hf://owner/name@v1"))
@click.argument("source")
def add(source: str) -> None:
    """Add a model, which is then found by its id and by its files.

    SOURCE is a model folder, or hf://owner/name@revision on the Hugging Face Hub, where the revision is a tag or a commit. The model is
    copied into the user's data folder once its weights have been checked against their digests.
    """
    from vqcodec.models.installing import add_model

    added = add_model(source)
    if added.is_new:
        tell(f"added {added.config.id}, number {added.config.number}, in {added.config.folder}")
    else:
        tell(f"nothing to add: {added.config.id}, number {added.config.number}, has the same weights in {added.config.folder}")


@models.command(epilog=examples("models remove draft"))
@click.argument("model")
def remove(model: str) -> None:
    """Remove a model that was added; its files can then no longer be decoded.

    MODEL is its id. Models that ship with vqcodec, and those in folders of VQCODEC_MODELS, are not removed.
    """
    from vqcodec.models.installing import remove_model

    tell(f"removed {remove_model(model)}")
