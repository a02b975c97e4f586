"""Tables of seconds and memory, made from the result files."""

from typing import Any

from bench.images import RESULTS, read_json
from bench.tables import table
from vqcodec.models.registry import DEFAULT_MODEL


def speed() -> str:
    """Returns seconds and memory of the command line and of the package's functions, by the size of the photo."""
    rows = []
    for row in _speed()["rows"]:
        seconds = [f"{row[key]:.2f} s" for key in ("encode_process_s", "decode_process_s", "encode_s", "decode_s", "paint_s")]
        size = _size(row) + ("" if row["device"] == "cpu" else f" on {row['device']}")
        rows.append([size, str(row["repeats"]), *seconds, f"{row['encode_peak_mib']} / {row['decode_peak_mib']} MiB"])
    columns = ["photo", "runs", "encode, process", "decode, process", "encode", "decode codes", "paint", "peak memory, encode / decode"]
    return table(columns, rows)


def start() -> str:
    """Returns seconds and modules of single commands."""
    rows = [
        [
            f"`{row['command']}`" if " vqcodec" in row["command"] else f"`vqcodec {row['command']}`",
            f"{row['seconds']:.2f} s",
            str(row["modules"]),
            "yes" if row["torch"] else "no",
        ]
        for row in read_json(RESULTS / "start.json")["rows"]
    ]
    return table(["command", "seconds", "modules", "torch is imported"], rows)


def stages() -> str:
    """Returns the shares of the seconds that each stage of encoding and of decoding one picture takes."""
    seconds = _speed()["stages"]
    both = (seconds["encode"], seconds["decode"])
    rows = [
        [stage, *(f"{of[stage] / sum(of.values()):.0%}" if stage in of else "" for of in both)]
        for stage in dict.fromkeys([*both[0], *both[1]])
    ]
    return table(["stage", "encode", "decode"], rows)


def floor() -> str:
    """Returns what coding one picture takes of the processor, beside what its products would take alone."""
    rows = []
    for row in _speed()["floor"]:
        products = ", ".join(f"{number:.1f} in {kind}" for kind, number in row["gmac"].items())
        rates = ", ".join(f"{rate:.0f}" for rate in row["core_gmac_per_s"].values())
        rows.append(
            [row["work"], products, rates, f"{row['floor_s']:.2f} s", f"{row['cpu_s']:.2f} s", f"{row['floor_s'] / row['cpu_s']:.0%}"]
        )
    return table(["work", "billion products", "a core does, a second", "seconds at least", "measured", "share"], rows)


def batches() -> str:
    """Returns seconds a picture by the number of pictures in a batch."""
    rows = [[str(row["count"]), f"{row['encode_s']:.3f}", f"{row['decode_s']:.3f}"] for row in _speed()["batches"]]
    return table(["256x256 pictures in a batch", "encode, seconds a picture", "decode, seconds a picture"], rows)


def gpu() -> str:
    """Returns images and megapixels a second of batches on a GPU, or that they were not measured."""
    target = RESULTS / f"gpu-{DEFAULT_MODEL}.json"
    if not target.exists():
        return "Batches on a GPU have not been timed yet."
    rows = [
        [
            _size(row),
            str(row["count"]),
            *(
                f"{row[f'{verb}_images_per_s']:.0f}, {row[f'{verb}_mpx_per_s']:.1f}"
                for verb in ("encode", "encode_codes", "decode", "decode_codes")
            ),
            f"{row['peak_mib']} MiB",
        ]
        for row in read_json(target)["rows"]
    ]
    rates = [f"{verb}, images and megapixels a second" for verb in ("encode", "encode without layers", "decode", "decode codes alone")]
    return table(["photo", "in a batch", *rates, "memory of the GPU"], rows)


def prefixes() -> str:
    """Returns seconds of decoding the first maps of a file alone."""
    measured = _speed()["prefixes"]
    rows = []
    for row in measured:
        faster = measured[-1]["decode_s"] / row["decode_s"]
        rows.append([str(row["maps"]), f"{row['decode_s']:.2f}", f"{faster:.1f}", f"{row['without_kernels_s']:.2f}"])
    return table(["maps decoded, of 768x512", "seconds", "times faster than the whole", "seconds without compiled kernels"], rows)


def naive() -> str:
    """Returns seconds of decoding the codes of one 256x256 picture, as vqcodec does and as a plain PixelSNAIL would."""
    measured = _speed()["naive"]
    rows = [
        ["all codes of an anti-diagonal together, as vqcodec does", f"{measured['wavefront_s']:.2f}"],
        [f"one pass of the network a code, extrapolated from {measured['passes']} passes a map", f"{measured['naive_s']:.0f}"],
    ]
    return table(["decoding", "seconds"], rows)


def codec_speed() -> str:
    """Returns seconds and memory of all codecs, at about the same rate."""
    rows = []
    for row in _speed()["codecs"]:
        about = [_size(row), row["codec"], row["setting"], f"{row['bpp']:.2f}"]
        rows.append([*about, f"{row['encode_s']:.3f}", f"{row['decode_s']:.3f}", f"{row['peak_mib']} MiB"])
    return table(["photo", "codec", "setting", "bpp", "encode (s)", "decode (s)", "peak memory"], rows)


def peers() -> str:
    """Returns seconds of vqcodec and of the models of CompressAI."""
    first: dict[str, float] = {}
    rows = []
    for row in _speed()["peers"]:
        name = f"CompressAI {row['compressai']} {row['model']}" if "compressai" in row else f"vqcodec, {row['setting']}"
        ratio = row["decode_s"] / first.setdefault(_size(row), row["decode_s"])
        rows.append([_size(row), name, f"{row['encode_s']:.2f}", f"{row['decode_s']:.2f}", f"{ratio:.1f}"])
    return table(["photo", "codec", "encode (s)", "decode (s)", "decode, against the first"], rows)


def _speed() -> dict[str, Any]:
    measured: dict[str, Any] = read_json(RESULTS / f"speed-{DEFAULT_MODEL}.json")
    return measured


def _size(row: dict[str, Any]) -> str:
    return f"{row['width']}x{row['height']}"
