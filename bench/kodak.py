"""One model on the Kodak photos, nearest codes: PSNR and bytes of every prefix of the maps, and the cross-entropy of the codes."""

import platform
import time
from typing import Any

import click
import numpy as np
import torch

import vqcodec
from bench.images import opened_set, write_result
from vqcodec.coding.frequencies import cross_entropy_bits
from vqcodec.decoding import decode_file, paint
from vqcodec.encoding import encode_pictures
from vqcodec.images.metrics import bits_per_pixel, ms_ssim, psnr_db
from vqcodec.images.picture import read_picture
from vqcodec.models.config import OperatingPoint
from vqcodec.models.registry import open_model


def run_kodak(set_name: str, model_id: str) -> None:
    """Measures real files decoded again; writes one JSON object with per-photo rows and means."""
    model = open_model(model_id)
    num_maps = model.network.config.num_maps
    rows: list[dict[str, Any]] = []
    with opened_set(set_name) as images, click.progressbar(images) as bar:
        for path in bar:
            picture = read_picture(path)
            height, width = picture.pixels.shape[:2]
            for prefix in range(1, num_maps + 1):
                started = time.perf_counter()
                (encoded,) = encode_pictures([picture], model, point=OperatingPoint(prefix, 0.0))
                encode_s = time.perf_counter() - started
                started = time.perf_counter()
                (decoded,) = paint([decode_file(encoded.data)])
                decode_s = time.perf_counter() - started
                bits = [cross_entropy_bits(level, freqs) for level, freqs in zip(encoded.indices, model.static_freqs, strict=False)]
                rows.append(
                    {
                        "photo": path.stem,
                        "maps": prefix,
                        "num_bytes": len(encoded.data),
                        "raw_bytes": sum(9 * level.size for level in encoded.indices) // 8,
                        "cross_entropy_bytes": round(sum(bits) / 8, 1),
                        "bpp": round(bits_per_pixel(len(encoded.data), width, height), 4),
                        "psnr_db": round(psnr_db(picture.rgb, decoded.rgb), 4),
                        "ms_ssim": round(ms_ssim(picture.rgb, decoded.rgb) or 0.0, 5),
                        "encode_s": round(encode_s, 3),
                        "decode_s": round(decode_s, 3),
                    }
                )
    keys = [key for key in rows[0] if key not in ("photo", "maps")]
    means = [
        {"maps": prefix, **{key: round(float(np.mean([row[key] for row in rows if row["maps"] == prefix])), 4) for key in keys}}
        for prefix in range(1, num_maps + 1)
    ]
    for row in means:
        click.echo(f"{row['maps']} maps  {row['bpp']:.3f} bpp  PSNR {row['psnr_db']:.2f} dB  MS-SSIM {row['ms_ssim']:.4f}")
    versions = {"vqcodec": vqcodec.__version__, "torch": torch.__version__, "python": platform.python_version()}
    values = {"versions": versions, "threads": torch.get_num_threads(), "means": means, "photos": rows}
    write_result("kodak", model.config, set_name, values)
