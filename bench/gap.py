"""How much better a model's priors know the photos that they were trained on than others: bits a code on both, codes chosen alike."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from bench.images import RESULTS
from vqcodec.container import map_name
from vqcodec.nn.fixed_point import Arithmetic
from vqcodec.nn.pixelsnail import TOP_TILE
from vqcodec.registry import open_model
from vqcodec.training.code_maps import INDEX_NAME, open_code_maps
from vqcodec.training.prior import measure_bits

TILES: Final = 400


def measure_gap(codes: Path, held_out: Path, model_id: str) -> None:
    """Measures whole tiles of two sets of code maps, as `vqcodec train codes` writes them; writes bench/results/gap-MODEL.json.

    Raises:
        click.ClickException: their codes were chosen by different lambdas.
    """
    model = open_model(model_id, device="cpu")
    chosen_by, others_by = (json.loads((folder / INDEX_NAME).read_text(encoding="utf-8"))["rate_weights"] for folder in (codes, held_out))
    if chosen_by != others_by:
        raise click.ClickException(f"codes of {codes} were chosen by lambdas {chosen_by}, those of {held_out} by {others_by}")
    training, others = open_code_maps(codes), open_code_maps(held_out)
    rows = []
    for number, prior in enumerate(model.priors):
        of_training, of_others = (maps.corner_tiles(TILES, TOP_TILE, number + 1) for maps in (training, others))
        rows.append(
            {
                "map": map_name(number),
                "tiles": [len(of_training[-1]), len(of_others[-1])],
                "training_real": round(measure_bits(prior, of_training, Arithmetic.REAL), 4),
                "held_out_real": round(measure_bits(prior, of_others, Arithmetic.REAL), 4),
                "held_out_fixed": round(measure_bits(prior, of_others, Arithmetic.TRAINED), 4),
            }
        )
        click.echo(json.dumps(rows[-1]))
    result = {
        "model": model_id,
        "weights_sha256": model.config.weights_sha256,
        "date": datetime.now(UTC).date().isoformat(),
        "rate_weights": chosen_by,
    }
    target = RESULTS / f"gap-{model_id}.json"
    target.write_text(json.dumps({**result, "priors": rows}, indent=1) + "\n", encoding="utf-8")
    click.echo(f"written to {target}")
