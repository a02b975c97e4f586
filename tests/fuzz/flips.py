"""Files in which one bit is another: each must be refused, whatever the bit."""

from collections import Counter

from tests.fuzz.property import outcome_of
from tests.fuzz.targets import decode_whole, layer_files, metadata_files, plain_files


def small_files() -> dict[str, bytes]:
    """Returns files of different kinds, small enough that each of their bits is flipped."""
    raw, static, four_maps, prior, groups, sharpened, _ = plain_files()
    metadata, _, png_alpha, _ = metadata_files()
    patch, _, tint, _, avif, _, _ = layer_files()
    return {
        "one map, raw": raw,
        "two maps, static": static,
        "four maps": four_maps,
        "three maps, by priors": prior,
        "two tile groups, grey": groups,
        "three maps, by sharpened priors": sharpened,
        "alpha, ICC profile, EXIF and XMP": metadata,
        "grey with alpha as PNG": png_alpha,
        "exact patch": patch,
        "colour layer": tint,
        "AVIF": avif,
    }


def count_flips(data: bytes, step: int = 1) -> Counter[str]:
    """Returns how many files end how, in which one bit is flipped; every bit is, or every `step`-th."""
    counts: Counter[str] = Counter()
    for bit in range(0, 8 * len(data), step):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        counts[outcome_of(decode_whole, bytes(flipped)).name] += 1
    return counts
