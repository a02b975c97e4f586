"""Trains a small classifier on the codes of pictures, and compares how fast codes, JPEG and PNG are read.

    python examples/train_on_codes.py            # pieces of photos that ship with scikit-image; about a minute on two cores
    python examples/train_on_codes.py PHOTOS     # PHOTOS/CLASS/*.jpg, squares from their middles

It needs `pip install scikit-image` for the first. The pictures are encoded once, with `coder="static"`, by which their codes are read many
times as fast as under priors. The network sees no pixel: codes are looked up in tables of vectors that it learns.
"""

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import vqcodec
from vqcodec.datasets import CodeMaps
from vqcodec.errors import VqcodecError

SIDE_PX = 128
MAPS = 2
CODEBOOK_SIZE = 512


class CodeClassifier(nn.Module):
    """Vectors of the codes of both maps at 1/4 of the picture's size, some convolutions, and a class."""

    def __init__(self, num_classes: int, channels: int = 32) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(CODEBOOK_SIZE, channels) for _ in range(MAPS))
        widths = [channels, 2 * channels, 2 * channels, 4 * channels]
        steps = [(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.ReLU()) for a, b in itertools.pairwise(widths)]
        self.layers = nn.Sequential(*(layer for step in steps for layer in step))
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Returns logits [N, classes] of codes [N, h, w] and [N, 2h, 2w]."""
        top, bottom = (table(codes.long()).movedim(-1, 1) for table, codes in zip(self.tables, maps, strict=True))
        x = nn.functional.interpolate(top, scale_factor=2) + bottom
        return self.head(self.layers(x).mean((2, 3)))


class PictureFiles(Dataset):
    """Picture files, decoded by Pillow."""

    def __init__(self, folder: Path, suffix: str) -> None:
        self.paths = sorted(folder.rglob(f"*{suffix}"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self.paths[index]) as image:
            return torch.from_numpy(np.array(image.convert("RGB"))).movedim(-1, 0)


def demo_pieces(count: int) -> Iterator[tuple[str, str, Image.Image]]:
    """Yields set, class and picture: pieces of six photos, of the right quarter of each for validation."""
    try:
        import skimage.data
    except ImportError:
        sys.exit("train_on_codes.py: its photos need scikit-image: pip install scikit-image; or give a folder of photos")
    rng = np.random.default_rng(0)
    for name in ("astronaut", "cat", "coffee", "rocket", "retina", "hubble_deep_field"):
        try:
            photo = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
        except (ConnectionError, OSError, ValueError):  # a photo that would have to be downloaded
            continue
        border = 3 * photo.width // 4
        for number in range(count):
            split, first, last = ("val", border, photo.width) if number % 4 == 3 else ("train", 0, border)
            left, top = int(rng.integers(first, max(first, last - SIDE_PX) + 1)), int(rng.integers(photo.height - SIDE_PX + 1))
            yield split, name, photo.crop((left, top, left + SIDE_PX, top + SIDE_PX))


def own_pieces(folder: Path) -> Iterator[tuple[str, str, Image.Image]]:
    """Yields set, class and picture of PHOTOS/CLASS/*, every fourth of a class for validation."""
    for own in sorted(path for path in folder.iterdir() if path.is_dir()):
        for number, path in enumerate(sorted(path for path in own.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))):
            with Image.open(path) as image:
                side = min(image.size)
                left, top = ((length - side) // 2 for length in image.size)
                square = image.convert("RGB").crop((left, top, left + side, top + side)).resize((SIDE_PX, SIDE_PX))
            yield ("val" if number % 4 == 3 else "train"), own.name, square


def write_pictures(pieces: Iterator[tuple[str, str, Image.Image]], folder: Path) -> None:
    """Writes the pictures as .vq, JPEG and PNG into folders of their sets and classes."""
    codec = vqcodec.open_model()
    everything = list(pieces)
    files = codec.encode_batch([picture for _, _, picture in everything], num_maps=MAPS, coder="static", layers=False)
    for number, ((split, name, picture), data) in enumerate(zip(everything, files, strict=True)):
        for kind in ("codes", "pictures"):
            (folder / kind / split / name).mkdir(parents=True, exist_ok=True)
        (folder / "codes" / split / name / f"{number:05}.vq").write_bytes(data)
        picture.save(folder / "pictures" / split / name / f"{number:05}.jpg", quality=90)
        picture.save(folder / "pictures" / split / name / f"{number:05}.png")


def train(train_set: CodeMaps, val_set: CodeMaps, epochs: int, num_workers: int) -> float:
    """Trains a classifier and returns its accuracy on the validation set."""
    torch.manual_seed(0)
    network = CodeClassifier(len(train_set.classes))
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    sampler = train_set.sampler()
    loader = DataLoader(train_set, batch_size=32, sampler=sampler, num_workers=num_workers)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        losses = []
        for batch in loader:
            loss = nn.functional.cross_entropy(network(batch["maps"]), batch["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}")
    network.eval()
    with torch.inference_mode():
        hits = [network(batch["maps"]).argmax(1) == batch["label"] for batch in DataLoader(val_set, batch_size=32)]
    return float(torch.cat(hits).float().mean())


def pictures_a_second(dataset: Dataset, num_workers: int) -> float:
    """Returns how many pictures a second are read, after the first batch."""
    loader = DataLoader(dataset, batch_size=16, num_workers=num_workers, collate_fn=len)
    counts = iter(loader)
    next(counts)
    started = time.perf_counter()
    return sum(counts) / (time.perf_counter() - started)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("photos", nargs="?", type=Path, help="folder with a folder of photos for each class")
    parser.add_argument("--count", type=int, default=96, help="pieces of each photo, where no folder is given")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    try:
        learn_and_compare(args)
    except (VqcodecError, OSError) as error:
        print(f"train_on_codes.py: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def learn_and_compare(args: argparse.Namespace) -> None:
    """Trains a classifier on the codes of the pictures, and prints how fast their codes and files are read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pictures(demo_pieces(args.count) if args.photos is None else own_pieces(args.photos), folder)
        classes = [sorted(path.name for path in (folder / "codes").glob(f"{split}/*")) for split in ("train", "val")]
        if not classes[0] or classes[0] != classes[1]:
            sys.exit("train_on_codes.py: every class needs four pictures or more, of which every fourth is for validation")
        train_set, val_set = CodeMaps(folder / "codes/train", shuffle=True), CodeMaps(folder / "codes/val")
        print(f"{len(train_set)} pictures to train on, {len(val_set)} to validate with, classes: {', '.join(train_set.classes)}")
        print(f"accuracy on pictures that were not trained on: {train(train_set, val_set, args.epochs, args.workers):.1%}")
        for kind, dataset in (
            ("codes", train_set),
            ("JPEG", PictureFiles(folder / "pictures/train", ".jpg")),
            ("PNG", PictureFiles(folder / "pictures/train", ".png")),
        ):
            print(f"{kind}: {pictures_a_second(dataset, args.workers):,.0f} pictures a second by {args.workers} workers")


if __name__ == "__main__":
    sys.exit(main())
