"""Description of .vq files by their headers. No code is decoded, and no torch is needed."""

from dataclasses import dataclass

from vqcodec.format.container import bits_per_pixel, map_name, map_size, read_container
from vqcodec.format.groups import read_sums
from vqcodec.format.layers import AVIF_LAYER, COLOUR_LAYER, EXACT_LAYER, read_layers
from vqcodec.models.registry import model_id


@dataclass(frozen=True)
class MapInfo:
    """The description of one index map of a file.

    Attributes:
        name: name of the map, such as "top".
        height, width: size of the map in codes.
        num_codes: number of codes, height * width.
        num_bytes: length of the payload in bytes.
        bits_per_code: 8 * num_bytes / num_codes.
        coder: "raw", "static" or "prior".
        sharpness: sixteenths by which the logits of the prior are multiplied; 16 where they count as they are, and for other coders.
    """

    name: str
    height: int
    width: int
    num_codes: int
    num_bytes: int
    bits_per_code: float
    coder: str
    sharpness: int


@dataclass(frozen=True)
class LayerInfo:
    """The description of one layer of a file.

    Attributes:
        name: "exact" for pixels that come back unchanged, "avif" for an AVIF picture in place of the painted one, "colour" for
            offsets of colour.
        num_bytes: length of the layer in bytes.
        share: share of the picture's pixels that it gives, 0..1.
    """

    name: str
    num_bytes: int
    share: float

    @property
    def title(self) -> str:
        """What the layer is, for people."""
        return {"exact": "exact pixels", "avif": "AVIF picture", "colour": "colour layer"}[self.name]


@dataclass(frozen=True)
class FileInfo:
    """The description of a .vq file.

    Attributes:
        format_version: version of the format, the oldest that can hold what the file says.
        model: id of the model, or `#number` where it is not installed with these weights.
        width, height: size of the image in pixels.
        mode: "L", "RGB", "LA" or "RGBA".
        num_bytes: length of the file in bytes.
        bpp: 8 * num_bytes / (width * height).
        layers: descriptions of what is stored in another way than by codes.
        metadata_bytes: number of those bytes that hold the alpha plane, the colour profile, EXIF and XMP.
        maps: descriptions of the maps, top first.
    """

    format_version: int
    model: str
    width: int
    height: int
    mode: str
    num_bytes: int
    bpp: float
    layers: tuple[LayerInfo, ...]
    metadata_bytes: int
    maps: tuple[MapInfo, ...]


def read_info(data: bytes) -> FileInfo:
    """Describes the bytes of a .vq file. All checksums are checked but those of codes and of tile groups.

    Raises:
        FormatError: The bytes are not an intact .vq file.
    """
    container = read_container(data)
    header, num_bytes = container.header, memoryview(data).nbytes
    layers = read_layers(container.layers, header.width, header.height)
    read_sums(container.layers, header)  # checks their number
    shares = {
        EXACT_LAYER: ("exact", layers.num_exact / (header.width * header.height)),
        AVIF_LAYER: ("avif", 1.0),
        COLOUR_LAYER: ("colour", 1.0),
    }
    infos = [LayerInfo(shares[chunk.kind][0], len(chunk.body), shares[chunk.kind][1]) for chunk in container.layers if chunk.kind in shares]
    maps = []
    for number, entry in enumerate(header.maps):
        height, width = map_size(header.width, header.height, number)
        num_codes = height * width
        bits_per_code = 8 * entry.num_bytes / num_codes
        coder = entry.coder.name.lower()
        maps.append(MapInfo(map_name(number), height, width, num_codes, entry.num_bytes, bits_per_code, coder, entry.sharpness))
    return FileInfo(
        format_version=header.version,
        model=model_id(header.model_number, header.weights_digest),
        width=header.width,
        height=header.height,
        mode=header.mode.name,
        num_bytes=num_bytes,
        bpp=bits_per_pixel(num_bytes, header.width, header.height),
        layers=tuple(infos),
        metadata_bytes=header.metadata_bytes,
        maps=tuple(maps),
    )
