"""Tables of how the models were trained, of what was tried, and of what it gained."""

from typing import Any

from bench.images import MODELS, RESULTS, read_json
from bench.rankings import SPOT_BPP, value_at
from vqcodec.compare.bd_rate import bd_rate
from vqcodec.compare.rows import METRICS, Point
from vqcodec.training.loop import read_metrics


def training_summary(model_id: str) -> str:
    """Length and held-out figures of the model's training."""
    log = MODELS / model_id / "training.jsonl"
    rows = read_metrics(log)
    last = rows[-1]
    summary = f"{last['step']} steps in {last['elapsed_s'] / 3600:.2f} hours."
    held_out = [row for row in rows if row["kind"] == "validation"]
    if held_out:
        psnr = ", ".join(f"{value:.2f}" for value in held_out[-1]["psnr_db"])
        when = "at the end" if held_out[-1]["step"] == last["step"] else f"after {held_out[-1]['step']} steps"
        summary += f" Held-out PSNR {when} (top, + bottom, + refine_1, + refine_2): {psnr} dB."
    return summary


def trials_table(model_id: str) -> str:
    """What was tried before the model was trained, at equal time."""
    rows = read_json(MODELS / model_id / "trials.json")["trials"]
    lines = ["| trial | steps | seconds | top | + bottom | + refine_1 | + refine_2 |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        psnr = " | ".join(f"{value:.2f}" for value in row["psnr_db"])
        lines.append(f"| {row['trial']} | {row['steps']} | {row['seconds']} | {psnr} |")
    return "\n".join(lines)


def reproduction_summary(model_id: str) -> str:
    """How well a second run of the model's recipe follows its log."""
    result = read_json(RESULTS / f"reproduction-{model_id}.json")
    return (
        f"A second run over the first {result['steps']} of {result['of_steps']} steps, on another processor, "
        "followed the log: in "
        f"{len(result['windows'])} windows of training PSNR the mean difference was {result['mean_difference_db']:+.3f} dB, the largest "
        f"{result['largest_difference_db']:.3f} dB (`python -m bench reproduction RUN`)."
    )


def codebooks_table(model_id: str) -> str:
    """EMA against loss codebooks at equal time."""
    rows = read_json(MODELS / model_id / "trials.json")["codebooks"]
    lines = [
        "| codebook_update | steps | seconds | top | + bottom | + refine_1 | + refine_2 | perplexity |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        psnr = " | ".join(f"{value:.2f}" for value in row["psnr_db"])
        perplexity = " / ".join(f"{value:.0f}" for value in row["perplexity"])
        lines.append(f"| {row['codebook_update']} | {row['steps']} | {row['seconds']:.0f} | {psnr} | {perplexity} |")
    return "\n".join(lines)


def prior_trials_table(model_id: str) -> str:
    """Variants of priors after short runs."""
    lines = ["| trial | steps | seconds | held-out bits/code |", "|---|---|---|---|"]
    for row in read_json(MODELS / model_id / "prior-trials.json")["trials"]:
        lines.append(f"| {row['trial']} | {row['steps']} | {row['seconds']} | {row['bits_per_code']:.3f} |")
    return "\n".join(lines)


def decoder_trials_table(model_id: str) -> str:
    """What more training of the perceptual decoder gave, step by step."""
    lines = ["| trial | steps | minutes | PSNR (dB) | LPIPS (AlexNet) | LPIPS (VGG) |", "|---|---|---|---|---|---|"]
    for row in read_json(MODELS / model_id / "decoder-trials.json")["trials"]:
        figures = f"{row['psnr_db']:.2f} | {row['lpips_alex']:.4f} | {row['lpips_vgg']:.4f}"
        lines.append(f"| {row['trial']} | {row['steps']} | {row['seconds'] / 60:.0f} | {figures} |")
    return "\n".join(lines)


def equal_training_table(model_id: str) -> str:
    """Models trained equally long, with codes chosen by their cost and without, the first against the others."""
    first, *others = read_json(RESULTS / f"equal-training-{model_id}.json")["arms"]
    curves = {arm["arm"]: _points(arm) for arm in (first, *others)}
    lines = [f"| maps | lambda | {' | '.join(arm + ': bpp | PSNR (dB)' for arm in curves)} |", f"|---|---|{'---|---|' * len(curves)}"]
    for rows in zip(*(arm["rows"] for arm in (first, *others)), strict=True):
        figures = " | ".join(f"{row['bpp']:.3f} | {row['psnr_db']:.2f}" for row in rows)
        lines.append(f"| {rows[0]['maps']} | {rows[0]['rate_weight']} | {figures} |")
    for other in others:
        rate = bd_rate(METRICS[0], curves[other["arm"]], curves[first["arm"]], first["arm"]).bd_rate_percent
        gain = "no common range" if rate is None else f"{rate:+.1f}% in bytes at equal PSNR"
        lines += ["", f"{first['arm'].capitalize()} against {other['arm']}: {gain} (BD-rate)."]
    return "\n".join(lines)


def more_training_table(model_id: str) -> str:
    """What training the model further gave, against the model as it is."""
    result = read_json(RESULTS / f"more-training-{model_id}.json")
    first, *others = result["arms"]
    before = _points(first)
    lines = [f"| | steps | minutes | PSNR (dB) at {SPOT_BPP} bpp | bytes at equal PSNR |", "|---|---|---|---|---|"]
    lines.append(f"| {first['arm']} | | | {_spot(before)} | |")
    for other in others:
        points = _points(other)
        rate = bd_rate(METRICS[0], before, points, other["arm"]).bd_rate_percent
        steps, minutes = other["steps"] - first["steps"], (other["elapsed_s"] - first["elapsed_s"]) / 60
        lines.append(
            f"| {other['arm']} | {steps} | {minutes:.0f} | {_spot(points)} | {'no common range' if rate is None else f'{rate:+.2f}%'} |"
        )
    return "\n".join(lines)


def _points(arm: dict[str, Any]) -> list[Point]:
    return [Point("", row["bpp"], row["psnr_db"]) for row in arm["rows"]]


def _spot(points: list[Point]) -> str:
    psnr_db = value_at(METRICS[0], points)
    return "not reached" if psnr_db is None else f"{psnr_db:.3f}"
