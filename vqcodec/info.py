"""What a .vq file says of itself, without decoding a code. Imports no torch."""

from dataclasses import dataclass

from vqcodec.format.container import FORMAT_VERSION, map_name, map_size, read_container
from vqcodec.images.metrics import bits_per_pixel
from vqcodec.models.registry import model_id


@dataclass(frozen=True)
class MapInfo:
    """One index map of a file: `bits_per_code` is 8 * num_bytes / num_codes, `coder` is "raw", "static" or "prior"."""

    name: str
    height: int
    width: int
    num_codes: int
    num_bytes: int
    bits_per_code: float
    coder: str


@dataclass(frozen=True)
class FileInfo:
    """A .vq file.

    Attributes:
        format_version: of FORMAT.md.
        model: id of the model, or `#number` where it is not installed with these weights.
        width, height: of the image in pixels.
        mode: L, RGB, LA or RGBA.
        num_bytes: length of the file.
        bpp: 8 * num_bytes / (width * height).
        metadata_bytes: what transparency and colour profile take of them.
        maps: in file order.
    """

    format_version: int
    model: str
    width: int
    height: int
    mode: str
    num_bytes: int
    bpp: float
    metadata_bytes: int
    maps: tuple[MapInfo, ...]


def read_info(data: bytes) -> FileInfo:
    """Describes the bytes of a .vq file; all checksums but those of the indices are checked.

    Raises:
        FormatError: not an intact .vq file.
    """
    header = read_container(data).header
    maps = []
    for number, entry in enumerate(header.maps):
        height, width = map_size(header.width, header.height, number)
        num_codes = height * width
        bits_per_code = 8 * entry.num_bytes / num_codes
        maps.append(MapInfo(map_name(number), height, width, num_codes, entry.num_bytes, bits_per_code, entry.coder.name.lower()))
    return FileInfo(
        format_version=FORMAT_VERSION,
        model=model_id(header.model_number, header.weights_digest),
        width=header.width,
        height=header.height,
        mode=header.mode.name,
        num_bytes=len(data),
        bpp=bits_per_pixel(len(data), header.width, header.height),
        metadata_bytes=header.chunks_bytes,
        maps=tuple(maps),
    )
