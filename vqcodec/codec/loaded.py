"""A loaded model as an object."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vqcodec.checks import checked_at_least, checked_list, checked_size
from vqcodec.coding.sampling import Fill, Sampler, fill_maps
from vqcodec.decoding.files import DecodeOptions, check_indices, decode_files
from vqcodec.decoding.painting import PaintOptions, check_maps, decode_pictures, paint_maps
from vqcodec.encoding.options import Coder, coder_kind
from vqcodec.encoding.pictures import encode_controlled
from vqcodec.errors import LimitExceededError, ModelError
from vqcodec.format.container import MAX_PIXELS, MAX_SIDE_PX, map_size
from vqcodec.images.picture import ImageLike, ReadOptions, Strip, picture_from_any, picture_to_pil
from vqcodec.models.dial import Tune
from vqcodec.models.model import Model, load_model
from vqcodec.models.registry import DEFAULT_MODEL
from vqcodec.rate.control import RateControl, RateOptions
from vqcodec.rate.options import Exact, LayerOptions

if TYPE_CHECKING:
    from vqcodec.codec.inspection import Inspection


@dataclass(frozen=True, repr=False, eq=False)
class Codec:
    """A loaded model that encodes, decodes, paints and samples. `open_model` makes one.

    It can be pickled and copied at any time; a copy loads the model from the same folder, which must still be there, onto the same device.

    Attributes:
        model: the model with its networks.
    """

    model: Model

    def __repr__(self) -> str:
        of_priors = (values.size for name, values in self.model.tensors.items() if name.startswith("prior_") and not name.endswith("_bits"))
        weights = self.model.config.parameters + sum(of_priors)
        return f"Codec({self.model.config.id!r}, device={self.model.device!r}, {weights / 1e6:.2f} M weights)"

    def encode(
        self,
        image: ImageLike,
        *,
        quality: float | None = None,
        num_maps: int | None = None,
        rate_weight: float | None = None,
        max_bytes: int | None = None,
        target_bpp: float | None = None,
        tune: Tune = "iq",
        coder: Coder | None = None,
        verify: bool = False,
        strip: Sequence[Strip] = (),
        tone_map: bool = False,
        first_frame: bool = False,
        max_pixels: int | None = None,
        exact: Exact = "auto",
        layers: bool = True,
    ) -> bytes:
        """Encodes one image into the bytes of a .vq file.

        Args:
            image: Pillow image; uint8 array [H, W], [H, W, 3] or [H, W, 4]; torch uint8 tensor [3, H, W]; path or open binary file.
            quality: place on the model's dial, 1..100, smallest to best; 50 where nothing else decides the size.
            num_maps: instead of quality, number of the model's maps to store.
            rate_weight: lambda, about what a bit is worth when codes are chosen, instead of the dial's (`RateDistortionChoice`).
            max_bytes: instead of quality, most bytes that the file may have; at most 8 encodes search for the best quality.
            target_bpp: instead of quality, most bits per pixel that the file may have.
            tune: "iq" for pictures that look right, "psnr" for the least squared error, "perceptual" for the decoder of realism 1.
            coder: coder of all maps; None for the one that takes the fewest bytes for each map.
            verify: whether the file is decoded again and its codes are compared.
            strip: metadata that are left out, a list of "all", "exif", "xmp", "icc" (which converts to sRGB) and "gps".
            tone_map: whether HDR images are brought to sRGB, and not refused.
            first_frame: whether the first picture of an animation, or of a file of several pictures, is taken, and it is not refused.
            max_pixels: most pixels, checked before any are decoded; None for the 2^27 of the format, with a warning above 89,478,485.
            exact: "auto" to store pixels exactly where that is the better use of bytes, "off" for none, "all" for a lossless file, which
                goes without quality, num_maps and rate_weight.
            layers: whether pixels may be stored in another way than by codes at all: exactly, by offsets, as AVIF.

        Raises:
            VqcodecError: The image cannot be encoded faithfully or within the limit, or the model lacks what is asked for.
            MemoryError: Memory does not hold the image.
            TypeError, ValueError: An argument is not as described.
        """
        options = RateOptions(
            quality=quality, num_maps=num_maps, rate_weight=rate_weight, max_bytes=max_bytes, target_bpp=target_bpp, tune=tune
        )
        return self.encode_batch(
            [image],
            coder=coder,
            verify=verify,
            strip=strip,
            tone_map=tone_map,
            first_frame=first_frame,
            max_pixels=max_pixels,
            exact=exact,
            layers=layers,
            batch_size=1,
            **options,
        )[0]

    def encode_batch(
        self,
        images: Sequence[ImageLike],
        *,
        coder: Coder | None = None,
        verify: bool = False,
        exact: Exact = "auto",
        layers: bool = True,
        batch_size: int | None = None,
        strip: Sequence[Strip] = (),
        tone_map: bool = False,
        first_frame: bool = False,
        max_pixels: int | None = None,
        **options: Unpack[RateOptions],
    ) -> list[bytes]:
        """Encodes images, those of equal padded size together.

        Args:
            images: a list of images, each as `encode` takes it.
            coder: coder of all maps (`encode`).
            verify: whether the files are decoded again and their codes are compared.
            exact: what is stored exactly (`encode`).
            layers: whether there may be layers (`encode`).
            batch_size: most images that go through the network at a time; None for 8, or on a GPU for what its memory takes.
            strip: metadata that are left out (`encode`).
            tone_map: whether HDR images are brought to sRGB (`encode`).
            first_frame: whether the first of several pictures is taken (`encode`).
            max_pixels: most pixels of an image (`encode`).
            options: quality, num_maps, rate_weight, max_bytes, target_bpp and tune (`encode`).

        Raises:
            VqcodecError, TypeError, ValueError: As `encode` raises them, for the first image that fails.
        """
        reading = ReadOptions(strip=strip, tone_map=tone_map, first_frame=first_frame, max_pixels=max_pixels)
        pictures = [picture_from_any(image, **reading) for image in checked_list("images", images, "images")]
        rate, allowed = RateControl(**options), LayerOptions(exact, layers)
        files = encode_controlled(pictures, self.model, rate=rate, coder=coder_kind(coder), options=allowed, batch_size=batch_size)
        for file in files:
            file.or_raise()
            if verify:
                check_indices(file.data, file.indices, model=self.model)
        return [file.data for file in files]

    def decode(
        self,
        data: bytes,
        *,
        max_maps: int | None = None,
        allow_truncated: bool = False,
        fill: Fill | None = None,
        seed: int = 0,
        realism: float = 0.0,
        layers: bool = True,
        region: tuple[int, int, int, int] | None = None,
        max_pixels: int | None = None,
    ) -> Image.Image:
        """Decodes a .vq file of this model into a Pillow image of mode L, LA, RGB or RGBA, with profile, EXIF and XMP in `info`.

        Args:
            data: bytes of the file.
            max_maps: number of first maps to paint from; fewer give a coarser image sooner.
            allow_truncated: whether a file is accepted that was cut after its first map or later.
            fill: "sample" draws the maps that are missing from the priors, "mode" takes their most probable codes, None leaves them out.
            seed: seed of these draws.
            realism: 0 for the picture closest to the original, 1 for one that looks most like a photo, or between.
            layers: whether what the file says in another way than by codes is shown.
            region: left, top, width and height in pixels of what is wanted of the picture, in time and memory that follow its size; None
                for all. Not with `fill`.
            max_pixels: most pixels, checked before anything is decoded: of the region, of all exact patches together that it overlaps, or
                of the picture where alpha or AVIF is decoded as a whole. None for the 2^27 of the format, where a file is refused of which
                more than 89,478,485 pixels are decoded if it has less than a byte for 8,000 of them, as no photo has.

        Raises:
            VqcodecError: The bytes are not an intact .vq file, it is another model's, or the model has no perceptual decoder;
                `RegionError` where the region does not lie within the picture.
            MemoryError: Memory does not hold the picture.
            TypeError, ValueError: An argument is not as described.
        """
        options = DecodeOptions(max_maps=max_maps, allow_truncated=allow_truncated, fill=fill, seed=seed, max_pixels=max_pixels)
        return self.decode_batch([data], **PaintOptions(realism=realism, layers=layers, region=region, **options))[0]

    def decode_batch(self, files: Sequence[bytes], *, batch_size: int | None = None, **options: Unpack[PaintOptions]) -> list[Image.Image]:
        """Decodes files, those of equal padded size together.

        Args:
            files: bytes of each file.
            batch_size: most images that go through the network at a time; None for 8, or on a GPU for what its memory takes.
            options: the options of `decode`.

        Raises:
            VqcodecError, TypeError, ValueError: As `decode` raises them, for the first file that fails.
        """
        return [picture_to_pil(picture) for picture in decode_pictures(files, self.model, batch_size=batch_size, **options)]

    def decode_indices(
        self,
        data: bytes,
        *,
        max_maps: int | None = None,
        allow_truncated: bool = False,
        fill: Fill | None = None,
        seed: int = 0,
        max_pixels: int | None = None,
    ) -> list[NDArray[np.int64]]:
        """Decodes the index maps of a .vq file of this model, int64 [h, w] each, top first; no pixel is painted.

        The arguments and errors are those of `decode`, without realism, layers and region.
        """
        options = DecodeOptions(max_maps=max_maps, allow_truncated=allow_truncated, fill=fill, seed=seed, max_pixels=max_pixels)
        return self.decode_indices_batch([data], **options)[0]

    def decode_indices_batch(self, files: Sequence[bytes], **options: Unpack[DecodeOptions]) -> list[list[NDArray[np.int64]]]:
        """Decodes the index maps of several files together; the options and errors are those of `decode_indices`."""
        return [decoded.indices for decoded in decode_files(files, self.model, **options)]

    def inspect(self, data: bytes, *, realism: float = 0.0, max_pixels: int | None = None) -> "Inspection":
        """Decodes a .vq file of this model, and shows what its bytes are spent on: maps in colour, bits by place, exact pixels.

        The arguments and errors are those of `decode`.
        """
        from vqcodec.codec.inspection import inspect_file

        return inspect_file(data, self.model, realism=realism, max_pixels=max_pixels)

    def paint(self, indices: Sequence[NDArray[np.integer]], size: tuple[int, int], *, realism: float = 0.0) -> Image.Image:
        """Paints index maps, for example those of `decode_indices`, as an image of mode RGB, without the layers of their file.

        Args:
            indices: the first maps of the model, [h, w] each, top first, at least one.
            size: width and height of the picture in pixels, as Pillow has it.
            realism: 0 for the picture closest to the original, 1 for one that looks most like a photo, or between.

        Raises:
            ModelError: The model has no perceptual decoder.
            TypeError, ValueError: The maps are no integers, are not those of a picture of this size, or hold codes that the model lacks.
        """
        check_maps(self.model, indices, size := checked_size(size))
        maps = [np.asarray(one, np.int64)[None] for one in indices]
        return Image.fromarray(paint_maps(self.model, maps, (size[1], size[0]), realism=realism)[0])

    def sample(
        self,
        count: int,
        *,
        size: tuple[int, int] = (256, 256),
        num_maps: int | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 0,
    ) -> list[Image.Image]:
        """Draws new pictures, of mode RGB, from the priors, all together (Razavi et al. 2019, section 3.2).

        Args:
            count: number of pictures, at least 1.
            size: width and height of each in pixels.
            num_maps: number of maps to draw; by default all that the model has priors of.
            temperature: divisor of the logits, above 0.
            top_k: number of most probable codes that are drawn from; None for all.
            seed: seed of the draws. Equal seeds give equal codes on every machine with the same version of NumPy.

        Raises:
            ModelError: The model has no priors, or not for so many maps.
            LimitExceededError: A side is longer than `MAX_SIDE_PX`, or the pictures have more than `MAX_PIXELS` pixels in all.
            TypeError, ValueError: An argument is not as described.
        """
        count = checked_at_least("count", count, 1)
        if num_maps is not None:
            num_maps = checked_at_least("num_maps", num_maps, 1)
            if num_maps > (most := self.model.config.num_maps):
                raise ModelError(f"{num_maps} maps were asked for; model {self.model.config.id} has {most}")
        width, height = size = checked_size(size)
        if max(size) > MAX_SIDE_PX:
            raise LimitExceededError(f"pictures of {width}x{height} are too large, expected sides of at most {MAX_SIDE_PX}")
        if count * width * height > MAX_PIXELS:
            raise LimitExceededError(f"{count} pictures of {width}x{height} are {count * width * height} pixels, at most {MAX_PIXELS}")
        sampler = Sampler(temperature=temperature, top_k=top_k, seed=seed)
        wanted = max(1, len(self.model.config.priors)) if num_maps is None else num_maps
        drawn = fill_maps(self.model.codings, [[]] * count, [map_size(width, height, 0)] * count, wanted, "sample", sampler)
        return [self.paint(maps, size) for maps in drawn]


def open_model(model: str | Path = DEFAULT_MODEL, *, device: str = "auto") -> Codec:
    """Loads a model.

    Args:
        model: id of an installed model, or a folder with `config.json` and `weights.safetensors`.
        device: "auto" (CUDA where there is one), "cpu" or "cuda".

    Raises:
        ModelError: The model is not installed or broken, or there is no such device.
    """
    if not isinstance(model, str | PathLike):
        raise TypeError(f"model must be the id of a model or a model folder, not {type(model).__name__}")
    return Codec(load_model(model, device))
