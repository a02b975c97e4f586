"""Figures in README.md and the model cards: the text between `<!-- figures:NAME -->` and `<!-- end -->` comes from result files."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from bench.dial import summary
from bench.images import MODELS, RESULTS, read_json
from bench.rankings import bd_rate_table, chosen_gain, dial_table, low_rates_table, semantics_table, spot_check, spot_table
from vqcodec.format.container import map_name
from vqcodec.models.registry import DEFAULT_MODEL

ROOT: Final = MODELS.parent
_BLOCK: Final = re.compile(r"(<!-- figures:([\w-]+)(?: ([\w-]+))? -->\n).*?(<!-- end -->)", re.DOTALL)


def kodak_table(model_id: str) -> str:
    """Means over Kodak of every prefix of the model's maps."""
    result = read_json(RESULTS / f"kodak-{model_id}.json")
    lines = ["| maps | bytes | bpp | of 9-bit packing | PSNR (dB) | MS-SSIM |", "|---|---|---|---|---|---|"]
    for row in result["means"]:
        name = "top" if row["maps"] == 1 else f"+ {map_name(row['maps'] - 1)}"
        share = row["num_bytes"] / row["raw_bytes"]
        lines.append(f"| {name} | {row['num_bytes']:.0f} | {row['bpp']:.3f} | {share:.1%} | {row['psnr_db']:.2f} | {row['ms_ssim']:.4f} |")
    return "\n".join(lines)


def codes_table(model_id: str) -> str:
    """Use of the model's codebooks over training crops."""
    codes = read_json(MODELS / model_id / "codes.json")
    lines = [
        f"Over {codes['crops']} random {codes['crop_size']}x{codes['crop_size']} training crops:",
        "",
        "| map | dead codes | perplexity | bits/code, order 0 |",
        "|---|---|---|---|",
    ]
    lines += [f"| {row['name']} | {row['dead_codes']} | {row['perplexity']:.0f} | {row['entropy_bits']:.2f} |" for row in codes["maps"]]
    return "\n".join(lines)


def speed_table(model_id: str) -> str:
    """Seconds and memory of the command line with the model."""
    result = read_json(RESULTS / f"speed-{model_id}.json")
    lines = [
        f"Speed on {result['threads']} cores ({result['cpu']}), with{'' if result['compiled_kernels'] else 'out'} compiled kernels, "
        "top and bottom, medians (`python -m bench speed`); a process includes start and imports:",
        "",
        "| photo | runs | encode, process | decode, process | encode | decode codes | paint | peak memory, encode / decode |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        seconds = " | ".join(f"{row[key]:.2f} s" for key in ("encode_process_s", "decode_process_s", "encode_s", "decode_s", "paint_s"))
        size = _size(row) + ("" if row["device"] == "cpu" else f" on {row['device']}")
        lines.append(f"| {size} | {row['repeats']} | {seconds} | {row['encode_peak_mib']} / {row['decode_peak_mib']} MiB |")
    largest = max((row for row in result["rows"] if row["device"] == "cpu"), key=_megapixels)
    encode_s, decode_s = largest["encode_s"] / _megapixels(largest), (largest["decode_s"] + largest["paint_s"]) / _megapixels(largest)
    return "\n".join([*lines, "", f"At {_size(largest)} that is {encode_s:.1f} s a megapixel to encode and {decode_s:.1f} s to decode."])


def _size(row: dict[str, Any]) -> str:
    return f"{row['width']}x{row['height']}"


def _megapixels(row: dict[str, Any]) -> float:
    return float(row["width"] * row["height"] / 1e6)


def bits_table(model_id: str) -> str:
    """Bits a code of each map by each coder, and the files of top and bottom, over Kodak."""
    result = read_json(RESULTS / f"codes-{model_id}.json")
    lines = []
    for run in result["runs"]:
        sums = {key: sum(row[f"top_bottom_{key}"] for row in run["files"]) for key in ("bytes", "raw_bytes", "static_bytes")}
        psnr = sum(row["top_bottom_psnr_db"] for row in run["files"]) / len(run["files"])
        excess = max(
            row[f"{maps}_bytes"] - 1.003 * row[f"{maps}_cross_entropy_bytes"] for row in run["files"] for maps in ("top_bottom", "all_maps")
        )
        chosen = "nearest codes" if run["rate_weight"] == 0 else f"codes chosen by rate and distortion, lambda {run['rate_weight']}"
        lines += [
            f"With {chosen}: files of top and bottom are {1 - sums['bytes'] / sums['raw_bytes']:.1%} smaller than with 9-bit packing and "
            f"{1 - sums['bytes'] / sums['static_bytes']:.1%} smaller than with static coding of the same codes, at {psnr:.2f} dB. No "
            f"file, of these two or of all maps, takes more than {excess:.0f} bytes above 1.003 times the cross-entropy of its codes.",
            "",
            "| map | 9-bit | static | order 0 | prior, real numbers | prior, fixed point | payloads | against 9-bit | static | order 0 |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for row in run["maps"]:
            bits = {**row["bits_per_code"], "order_0": math.log2(row["perplexity"])}
            priors = " | ".join(f"{bits[key]:.3f}" if key in bits else "" for key in ("prior_real", "prior"))
            shares = " | ".join(f"{bits['payload'] / bits[key] - 1:+.1%}" for key in ("raw", "static", "order_0"))
            fixed = f"{bits['raw']:.0f} | {bits['static']:.3f} | {bits['order_0']:.3f}"
            lines.append(f"| {row['map']} | {fixed} | {priors} | {bits['payload']:.3f} | {shares} |")
        lines.append("")
    lines.append(
        "`static` has the model's own frequencies; `order 0` is the entropy of the very codes that were coded, with no side information."
    )
    return "\n".join(lines)


def stages_table(model_id: str) -> str:
    """Where the time of one Kodak-sized picture goes."""
    stages = read_json(RESULTS / f"speed-{model_id}.json")["stages"]
    lines = ["| stage | encode | decode |", "|---|---|---|"]
    for stage in dict.fromkeys([*stages["encode"], *stages["decode"]]):
        shares = [f"{of[stage] / sum(of.values()):.0%}" if stage in of else "" for of in (stages["encode"], stages["decode"])]
        lines.append(f"| {stage} | {' | '.join(shares)} |")
    return "\n".join(lines)


def prefixes_table(model_id: str) -> str:
    """Seconds of decoding the first maps of a file alone."""
    rows = read_json(RESULTS / f"speed-{model_id}.json")["prefixes"]
    lines = ["| maps decoded, of 768x512 | seconds | times faster than the whole | seconds without compiled kernels |", "|---|---|---|---|"]
    for row in rows:
        faster = rows[-1]["decode_s"] / row["decode_s"]
        lines.append(f"| {row['maps']} | {row['decode_s']:.2f} | {faster:.1f} | {row['without_kernels_s']:.2f} |")
    return "\n".join(lines)


def dial_steps(model_id: str) -> str:
    """Whether bytes and PSNR rise along the dial."""
    return f"{summary(read_json(RESULTS / f'dial-{model_id}.json'))} (`python -m bench dial`)"


def realism_table(model_id: str) -> str:
    """What mixtures of the two decoders make of the same files."""
    result = read_json(RESULTS / f"realism-{model_id}.json")
    lines = [
        f"Quality {result['quality']} on Kodak; in brackets the difference to the faithful decoder (`python -m bench realism`):",
        "",
        "| files | realism | PSNR (dB) | LPIPS (AlexNet) | LPIPS (VGG) |",
        "|---|---|---|---|---|",
    ]
    for tuned in result["tunes"]:
        faithful = tuned["rows"][0]
        for row in tuned["rows"]:
            psnr = f"{row['psnr_db']:.2f} ({row['psnr_db'] - faithful['psnr_db']:+.2f})"
            lpips = [f"{row[key]:.4f} ({row[key] / faithful[key] - 1:+.0%})" for key in ("lpips_alex", "lpips_vgg")]
            lines.append(f"| `--tune {tuned['tune']}`, {tuned['bpp']:.3f} bpp | {row['realism']:g} | {psnr} | {' | '.join(lpips)} |")
    return "\n".join(lines)


def batches_table(model_id: str) -> str:
    """Seconds a picture by the number of pictures in a batch."""
    lines = ["| 256x256 pictures in a batch | encode, seconds a picture | decode, seconds a picture |", "|---|---|---|"]
    for row in read_json(RESULTS / f"speed-{model_id}.json")["batches"]:
        lines.append(f"| {row['count']} | {row['encode_s']:.3f} | {row['decode_s']:.3f} |")
    return "\n".join(lines)


def codec_speed_table(model_id: str) -> str:
    """Seconds and memory of all codecs, at about the same rate."""
    lines = ["| photo | codec | setting | bpp | encode (s) | decode (s) | peak memory |", "|---|---|---|---|---|---|---|"]
    for row in read_json(RESULTS / f"speed-{model_id}.json")["codecs"]:
        seconds = f"{row['encode_s']:.3f} | {row['decode_s']:.3f}"
        memory = f"{row['peak_mib']} MiB" if "peak_mib" in row else "–"
        lines.append(f"| {_size(row)} | {row['codec']} | {row['setting']} | {row['bpp']:.2f} | {seconds} | {memory} |")
    return "\n".join(lines)


def side_table(model_id: str) -> str:
    """Use of the codebooks, and what is not codes in a file."""
    lines = []
    for run in read_json(RESULTS / f"codes-{model_id}.json")["runs"]:
        usage = ", ".join(f"{row['map']} {row['used']} of 512 (perplexity {row['perplexity']:.0f})" for row in run["maps"])
        files = run["files"]
        parts = []
        for name, key in [("top and bottom", "top_bottom"), ("all maps", "all_maps")]:
            whole = sum(row[f"{key}_bytes"] for row in files)
            header = sum(row[f"{key}_header_bytes"] for row in files)
            coding = whole - header - sum(row[f"{key}_cross_entropy_bytes"] for row in files)
            parts.append(f"{name}: header {header / whole:.2%}, streams {coding / whole:.2%}")
        lines += [f"Lambda {run['rate_weight']}: codes in use {usage}. Of the bytes of {'; '.join(parts)}.", ""]
    return "\n".join(lines[:-1])


def peers_table(model_id: str) -> str:
    """Decoding against a plain PixelSNAIL and against CompressAI."""
    result = read_json(RESULTS / f"speed-{model_id}.json")
    naive = result["naive"]
    lines = [
        f"The codes of one 256x256 picture decode in {naive['wavefront_s']:.2f} s; one full pass a code, as a plain PixelSNAIL does, "
        f"would take {naive['naive_s']:.0f} s ({naive['ratio']} times as long; extrapolated from {naive['passes']} passes a map).",
        "",
        "CompressAI's models are those of its quality 4, with untrained weights: bits a pixel are unknown, seconds hardly depend on them.",
        "",
        "| photo | codec | encode (s) | decode (s) | decode, against the first |",
        "|---|---|---|---|---|",
    ]
    peers: dict[str, list[dict[str, Any]]] = {}
    for row in result["peers"]:
        peers.setdefault(_size(row), []).append(row)
    for size, of_size in peers.items():
        for row in of_size:
            name = f"CompressAI {row['compressai']} {row['model']}" if "compressai" in row else f"vqcodec, {row['setting']}"
            ratio = row["decode_s"] / of_size[0]["decode_s"]
            lines.append(f"| {size} | {name} | {row['encode_s']:.2f} | {row['decode_s']:.2f} | {ratio:.1f} |")
    return "\n".join(lines)


_OF_A_MODEL: Final[dict[str, Callable[[str], str]]] = {
    "kodak": kodak_table,
    "codes": codes_table,
    "speed": speed_table,
    "bits": bits_table,
    "side": side_table,
    "peers": peers_table,
    "dial-steps": dial_steps,
    "realism": realism_table,
    "stages": stages_table,
    "batches": batches_table,
    "prefixes": prefixes_table,
    "codec-speed": codec_speed_table,
}
_OF_ALL_CODECS: Final[dict[str, Callable[[], str]]] = {
    "bd-rates": bd_rate_table,
    "chosen": chosen_gain,
    "spot": spot_table,
    "spot-check": spot_check,
    "low-rates": low_rates_table,
    "dial": dial_table,
    "semantics": semantics_table,
}


def _block(name: str, model_id: str) -> str:
    if name in _OF_ALL_CODECS:
        return _OF_ALL_CODECS[name]()
    return _OF_A_MODEL[name](model_id)


def filled(path: Path) -> str:
    """The text of a document with every block of figures made anew; a model card's are of its own model, unless a block names one."""
    model_id = path.parent.name if path.parent.parent == MODELS else DEFAULT_MODEL
    return _BLOCK.sub(lambda match: f"{match[1]}{_block(match[2], match[3] or model_id)}\n{match[4]}", path.read_text(encoding="utf-8"))


def documents() -> list[Path]:
    """The files that hold blocks of figures."""
    candidates = [
        ROOT / "README.md",
        *ROOT.glob("bench/README.md"),
        *sorted(ROOT.glob("docs/*.md")),
        *sorted(ROOT.glob("models/*/MODEL_CARD.md")),
    ]
    return [path for path in candidates if "<!-- figures:" in path.read_text(encoding="utf-8")]


def write_figures(*, check: bool) -> None:
    """Fills all blocks, or with `check` fails where one is out of date."""
    for path in documents():
        old = path.read_text(encoding="utf-8")
        new = filled(path)
        if new == old:
            continue
        if check:
            raise click.ClickException(f"{path.relative_to(ROOT)}: figures differ from the result files; run python -m bench figures")
        path.write_text(new, encoding="utf-8")
        click.echo(f"{path.relative_to(ROOT)}: updated")
