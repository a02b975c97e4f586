"""Files whose code maps are coded in another way, such as without priors, by which they are larger and read many times as fast."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vqcodec.coding.maps import CodedMap, code_map
from vqcodec.datasets.reading import CodeReader, model_named
from vqcodec.encoding.writing import group_sums
from vqcodec.errors import VqcodecError
from vqcodec.format.chunks import chunks_length
from vqcodec.format.container import CoderKind, Container, Header, read_container, write_container
from vqcodec.format.groups import SUMS_CHUNK, write_sums


def recode(files: Sequence[bytes], coder: CoderKind) -> list[bytes | VqcodecError]:
    """Codes the maps of .vq files anew, those of one model together; codes, layers and metadata stay the same.

    Args:
        files: bytes of each file.
        coder: coder of all maps.

    Returns:
        The bytes of each new file, or what is wrong with the old one.
    """
    results: list[bytes | VqcodecError] = []
    for data, codes in zip(files, CodeReader().read(files), strict=True):
        try:
            results.append(codes.error or _recoded(read_container(data), [indices.astype(np.int64) for indices in codes.maps], coder))
        except VqcodecError as error:
            results.append(error)
    return results


def _recoded(container: Container, maps: list[np.ndarray], coder: CoderKind) -> bytes:
    header = container.header
    model = model_named(header.model_number, header.weights_digest)
    coded: list[CodedMap] = []
    for number, indices in enumerate(maps):
        sharpness = header.maps[number].sharpness
        coded += code_map(model.codings[number], [indices], [maps[:number]], coder=coder, sharpness=sharpness)
    sums = write_sums(group_sums(coded, maps, header.width, header.height), sum(len(one.payload) for one in coded))
    layers = (*(chunk for chunk in container.layers if chunk.kind != SUMS_CHUNK), *sums)
    new: Header = replace(header, maps=tuple(one.entry for one in coded), layers_bytes=chunks_length(layers))
    return write_container(replace(container, header=new, payloads=tuple(one.payload for one in coded), layers=layers))
