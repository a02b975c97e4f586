"""Training photos, which are decoded once into one flat file of pixels, and random crops of them from a memory map.

<cache>/<key>/index.json  heights and widths of the photos
              pixels.u8   their pixels, one photo after another, row by row
"""

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from vqcodec.errors import ImageError
from vqcodec.images.formats import IMAGE_SUFFIXES
from vqcodec.images.picture import Picture, read_picture
from vqcodec.nn.configs import PATCH_TOP
from vqcodec.storage import replacing_files
from vqcodec.training.sizes import Sizes, read_sizes

_PIXELS_NAME: Final = "pixels.u8"
_INDEX_NAME: Final = "index.json"
_HELD_OUT_CROPS: Final = 24
_HELD_OUT_SIZE_PX: Final = 256


@dataclass(frozen=True)
class CropPlaces:
    """Where crops lie in the flat array of a set of photos.

    Attributes:
        starts: int64 [N], number of the pixel in the upper left corner of each crop.
        widths: int64 [N], width in pixels of the photo that each crop is from.
        mirrored: int64 [N], 1 for crops that are mirrored, else 0.
    """

    starts: NDArray[np.int64]
    widths: NDArray[np.int64]
    mirrored: NDArray[np.int64]

    def __getitem__(self, part: slice) -> "CropPlaces":
        """Returns the places of some of the crops."""
        return CropPlaces(self.starts[part], self.widths[part], self.mirrored[part])


@dataclass(frozen=True)
class PhotoSet:
    """A set of photos of many sizes in one flat array.

    Attributes:
        pixels: flat uint8 array, photo after photo, each [H, W, 3].
        sizes: sizes of the photos in pixels.
        digest: hexadecimal SHA-256 of the paths, sizes and times of the files that the photos came from.
    """

    pixels: NDArray[np.uint8]
    sizes: Sizes
    digest: str

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def fingerprint(self) -> str:
        """The number of photos, and the beginning of a SHA-256 of their sizes and of a row of each: the same wherever the photos lie."""
        digest = hashlib.sha256(np.stack([self.sizes.heights, self.sizes.widths]).astype("<i8").tobytes())
        for number in range(len(self)):
            photo = self.photo(number)
            digest.update(photo[len(photo) // 2].tobytes())
        return f"{len(self)} photos ({digest.hexdigest()[:12]})"

    def photo(self, number: int) -> NDArray[np.uint8]:
        """Returns one photo, uint8 [H, W, 3], as a view."""
        height, width = int(self.sizes.heights[number]), int(self.sizes.widths[number])
        start = 3 * int(self.sizes.offsets[number])
        return self.pixels[start : start + height * width * 3].reshape(height, width, 3)

    def random_places(self, count: int, size: int, rng: np.random.Generator) -> CropPlaces:
        """Draws the places of crops: photos in proportion to their area, places in them at random, and half of them mirrored.

        Args:
            count: number of crops.
            size: side of a crop in pixels.
            rng: source of everything that is drawn.

        Raises:
            ValueError: No photo is as large as a crop.
        """
        starts, widths, mirrored = (np.empty(count, np.int64) for _ in range(3))
        for crop, number in enumerate(self.sizes.draw(count, size, rng)):
            height, widths[crop] = self.sizes.heights[number], self.sizes.widths[number]
            top = rng.integers(height - size + 1)
            left = rng.integers(widths[crop] - size + 1)
            starts[crop] = self.sizes.offsets[number] + top * widths[crop] + left
            mirrored[crop] = rng.random() < 0.5
        return CropPlaces(starts, widths, mirrored)

    def random_crops(self, count: int, size: int, rng: np.random.Generator, part: slice = slice(None)) -> NDArray[np.uint8]:
        """Returns a part, by default all, of the crops [count] from places that `random_places` draws by the same arguments.

        They are uint8 [N, size, size, 3].
        """
        places = self.random_places(count, size, rng)[part]
        crops = np.empty((len(places.starts), size, size, 3), np.uint8)
        for crop, start, width, mirrored in zip(crops, places.starts, places.widths, places.mirrored, strict=True):
            rows = self.pixels[3 * start : 3 * (start + (size - 1) * width + size)]
            view = as_strided(rows, crop.shape, (3 * int(width), 3, 1), writeable=False)
            crop[...] = view[:, ::-1] if mirrored else view
        return crops

    def held_out_crops(self) -> NDArray[np.uint8]:
        """Returns the crops that training runs measure themselves by where this set was held out, uint8 [N, S, S, 3]."""
        return self.centre_crops(_HELD_OUT_CROPS, _HELD_OUT_SIZE_PX)

    def centre_crops(self, count: int, max_size: int) -> NDArray[np.uint8]:
        """Returns the middle of photos spread evenly over the set, the same at every call.

        Args:
            count: largest number of crops; as many as there are large enough photos are returned at most.
            max_size: largest side of a crop in pixels.

        Returns:
            uint8 [N, S, S, 3], where S is `max_size` or the largest multiple of 8 that some photo has room for.

        Raises:
            ValueError: No photo has 8x8 pixels.
        """
        size = min(max_size, max(PATCH_TOP, self.sizes.largest_side // PATCH_TOP * PATCH_TOP))
        crops = []
        for number in self.sizes.spread(count, size):
            photo = self.photo(int(number))
            top, left = (photo.shape[0] - size) // 2, (photo.shape[1] - size) // 2
            crops.append(photo[top : top + size, left : left + size])
        return np.stack(crops)


def find_sources(path: Path) -> list[Path]:
    """Returns the files that `load_photos` is to read, sorted by name.

    A file stands for itself. A folder stands for its .tar shards or, where it has none, for the pictures in it and in folders below it.

    Raises:
        ImageError: The folder holds neither.
    """
    if path.is_file():
        return [path]
    shards = sorted(path.glob("*.tar"))
    sources = shards or sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file())
    if not sources:
        raise ImageError(f"{path}: found no .tar shard and no picture")
    return sources


def load_photos(
    sources: list[Path],
    cache: Path,
    on_progress: Callable[[int], None] = lambda _: None,
    on_skipped: Callable[[ImageError], None] = lambda _: None,
) -> PhotoSet:
    """Opens photos, which are decoded into a cache the first time, and again where the cache is damaged.

    Args:
        sources: .tar shards and picture files.
        cache: folder for the decoded pixels, in a folder by paths, sizes and times of the sources; several runs may share it.
        on_progress: function that is called with the number of photos decoded so far.
        on_skipped: function that is called with the error of each file that is named like a picture and cannot be read.

    Raises:
        ImageError: No source holds a readable picture, or a shard is damaged.
    """
    stats = [(source.resolve(), source.stat()) for source in sources]
    key = hashlib.sha256("\n".join(f"{path}:{stat.st_size}:{stat.st_mtime_ns}" for path, stat in stats).encode(errors="surrogateescape"))
    folder = cache / key.hexdigest()[:16]
    if not _is_whole(folder):
        _decode_all(folder, sources, on_progress, on_skipped)
    return PhotoSet(np.memmap(folder / _PIXELS_NAME, np.uint8, mode="r"), read_sizes(folder / _INDEX_NAME), key.hexdigest())


def _is_whole(folder: Path) -> bool:
    try:
        return (folder / _PIXELS_NAME).stat().st_size == 3 * int(read_sizes(folder / _INDEX_NAME).areas.sum())
    except (FileNotFoundError, ValueError):
        return False


def _decode_all(folder: Path, sources: list[Path], on_progress: Callable[[int], None], on_skipped: Callable[[ImageError], None]) -> None:
    """Decodes the pictures of `sources` into a folder of the cache.

    Raises:
        ImageError: No picture can be read, or a shard is damaged.
    """
    sizes: list[tuple[int, int]] = []
    with replacing_files(folder, last=_INDEX_NAME) as new:
        with (new / _PIXELS_NAME).open("wb") as out:
            for picture in _pictures(sources, on_skipped):
                out.write(np.ascontiguousarray(picture.rgb).tobytes())
                sizes.append(picture.pixels.shape[:2])
                on_progress(len(sizes))
        if not sizes:
            raise ImageError(f"{sources[0]}: found no readable picture")
        (new / _INDEX_NAME).write_text(json.dumps({"sizes": sizes}), encoding="utf-8")


def _pictures(sources: list[Path], on_skipped: Callable[[ImageError], None]) -> Iterator[Picture]:
    for source in sources:
        for name, data in _members(source):
            try:
                yield read_picture(data, name=name)
            except ImageError as error:
                if Path(name).suffix.lower() in IMAGE_SUFFIXES:
                    on_skipped(error)


def _members(source: Path) -> Iterator[tuple[str, Path | BytesIO]]:
    """Yields the files of a shard, or a picture file itself, each with a name for messages.

    Raises:
        ImageError: The shard is damaged.
    """
    if source.suffix != ".tar":
        yield str(source), source
        return
    try:
        with tarfile.open(source) as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() else None
                if file is not None:
                    yield f"{source}/{member.name}", BytesIO(file.read())
    except Exception as error:  # damaged shards make tarfile and its decompressors raise almost anything
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{source}: not a .tar shard that can be read: {reason}") from error
