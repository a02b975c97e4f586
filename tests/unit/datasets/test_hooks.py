from pathlib import Path

import numpy as np
import pytest

import vqcodec
from tests.unit.datasets.conftest import vq, write_shard
from vqcodec.datasets import decode_vq, decoder
from vqcodec.errors import FormatError


def test_a_file_is_decoded(codec: vqcodec.Codec) -> None:
    file = vq(codec, num_maps=3)
    assert all(map(np.array_equal, decode_vq(file), codec.decode_indices(file)))
    assert [indices.shape for indices in decode_vq(file, maps=1)] == [(4, 5)]
    with pytest.raises(FormatError, match="not a .vq file"):
        decode_vq(b"photo")
    with pytest.raises(ValueError, match="maps must be at least 1"):
        decoder(maps=0)


@pytest.mark.filterwarnings("ignore")  # of WebDataset
def test_webdataset_decodes_samples(tmp_path: Path, codec: vqcodec.Codec) -> None:
    webdataset = pytest.importorskip("webdataset", reason="webdataset (extra `datasets`) is not installed")
    files = [vq(codec, seed) for seed in range(3)]
    members = [(f"{number}.{kind}", data) for number, file in enumerate(files) for kind, data in (("vq", file), ("cls", b"%d" % number))]
    shard = write_shard(tmp_path / "shard.tar", members)
    pipeline = webdataset.WebDataset(str(shard), shardshuffle=False).decode(decoder(maps=1)).to_tuple("vq", "cls")
    for (maps, label), file, number in zip(pipeline, files, range(3), strict=True):
        assert label == number and np.array_equal(maps[0], codec.decode_indices(file)[0]) and len(maps) == 1
