"""The two directions of conversion: pictures into .vq files, and .vq files into pictures.

Commands import this module when they run. It imports torch where there is no fast runtime, or there are no kernels.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path

from vqcodec.cli.batches import Conversion
from vqcodec.cli.files import (
    STANDARD_STREAM,
    OutputError,
    file_length,
    input_name,
    is_stream,
    read_bytes,
    refuse_overwrite,
    write_bytes,
)
from vqcodec.cli.jobs import Job
from vqcodec.cli.messages import errors_name
from vqcodec.cli.results import FileResult
from vqcodec.coding.sampling import Fill
from vqcodec.decoding.files import DecodedFile, OpenedFile, check_indices, decode_codes, fill_missing, open_file
from vqcodec.decoding.painting import paint, paint_region
from vqcodec.decoding.region import Region
from vqcodec.encoding.pictures import encode_controlled
from vqcodec.encoding.writing import EncodedFile
from vqcodec.errors import VqcodecError
from vqcodec.format.container import SUFFIX, CoderKind, ColourMode, read_container
from vqcodec.format.limits import size_note
from vqcodec.images.formats import IMAGE_SUFFIXES
from vqcodec.images.picture import Picture, ReadOptions, read_picture
from vqcodec.images.writing import Compression, check_can_hold, picture_file
from vqcodec.models.config import ModelConfig
from vqcodec.models.devices import needs_torch
from vqcodec.models.model import Model, load_model
from vqcodec.models.painters import load_painter
from vqcodec.nn.progress import OnProgress, part_of_work
from vqcodec.nn.threads import num_own_threads
from vqcodec.rate.control import RateControl
from vqcodec.rate.options import LayerOptions


@dataclass(frozen=True)
class LoadedPicture:
    """A picture, and the length of its file in bytes."""

    picture: Picture
    num_bytes: int


@dataclass(frozen=True)
class Encoding(Conversion[LoadedPicture, EncodedFile]):
    """Conversion of pictures into .vq files. It can be sent to other processes, which load the model by themselves.

    Attributes:
        config: config of the model that encodes.
        device: device of the networks.
        rate: what decides the sizes of the files.
        coder: coder of all maps, or None for the smallest payload of each map.
        layers: layers that the files may have.
        batch_size: pictures that go through the networks together.
        force: whether files are overwritten.
        skip_existing: whether finished outputs are kept.
        verify: whether the codes of what will be written are decoded and compared with those that were encoded.
        reading: how pictures are read.
    """

    config: ModelConfig
    device: str
    rate: RateControl
    coder: CoderKind | None
    layers: LayerOptions
    batch_size: int
    force: bool
    skip_existing: bool
    verify: bool
    reading: ReadOptions

    @property
    def may_overlap(self) -> bool:
        """Whether two batches may be converted at a time: where no torch would share its threads and memory among them."""
        return not needs_torch(self.device)

    @cached_property
    def model(self) -> Model:
        """The model with its networks."""
        return load_model(self.config, self.device)

    def prepare(self) -> None:
        """Loads the model."""
        _ = self.model

    def check_finished(self, target: Path) -> None:
        """Checks a .vq file by its checksums, without decoding it."""
        read_container(read_bytes(target))

    def read(self, job: Job) -> LoadedPicture:
        """Reads a picture."""
        is_encoded = job.source.suffix.lower() == SUFFIX
        if not is_encoded:  # else reading is to say so, rather than that the output is the input itself
            refuse_overwrite(job.target, force=self.force, source=job.source)
        if job.target.suffix.lower() in IMAGE_SUFFIXES:
            raise OutputError(f"{job.source}: its output {job.target} is named like a picture; encoded files end in .vq")
        source = BytesIO(read_bytes(job.source)) if is_stream(job.source) else job.source
        picture = read_picture(source, name=input_name(job.source), **self.reading)
        if is_encoded:
            refuse_overwrite(job.target, force=self.force, source=job.source)
        return LoadedPicture(picture, len(source.getvalue()) if isinstance(source, BytesIO) else file_length(source))

    def warning(self, loaded: LoadedPicture) -> str:
        """Returns a warning of a picture that is very large; else nothing."""
        height, width = loaded.picture.pixels.shape[:2]
        return size_note(width, height, self.reading.get("max_pixels"))

    def num_pixels(self, loaded: LoadedPicture) -> int:
        """Returns the number of pixels of a picture."""
        height, width = loaded.picture.pixels.shape[:2]
        return int(height * width)

    def convert(self, batch: list[LoadedPicture], on_progress: OnProgress) -> list[EncodedFile]:
        """Encodes pictures."""
        pictures = [loaded.picture for loaded in batch]
        told = part_of_work(on_progress, 0, len(batch))
        return encode_controlled(
            pictures, self.model, rate=self.rate, coder=self.coder, options=self.layers, batch_size=self.batch_size, on_progress=told
        )

    def write(self, job: Job, loaded: LoadedPicture, converted: EncodedFile) -> FileResult:
        """Writes a .vq file."""
        with errors_name(input_name(job.source)):
            file = converted.or_raise()
            if self.verify:
                check_indices(file.data, file.indices, model=self.model)
        write_bytes(job.target, file.data, force=self.force)
        if self.verify and job.target != STANDARD_STREAM and job.target.is_file() and read_bytes(job.target) != file.data:
            raise OutputError(f"{job.target}: holds other bytes than were written")
        height, width = loaded.picture.pixels.shape[:2]
        note = "; ".join(filter(None, (loaded.picture.colour_note, *loaded.picture.notes)))
        size = len(file.data)
        return FileResult(job, source_bytes=loaded.num_bytes, target_bytes=size, num_bytes=size, width=width, height=height, note=note)


@dataclass(frozen=True)
class Decoding(Conversion[OpenedFile, tuple[DecodedFile, Picture | None]]):
    """Conversion of .vq files into pictures, whose format follows the output's suffix.

    Attributes:
        max_maps: number of maps to paint from, or None for all.
        allow_truncated: whether files that were cut off are accepted.
        fill: how missing maps are filled in, or None where they are left out.
        seed: seed of `fill` by samples.
        realism: share of the perceptual decoder in the picture, in 0..1.
        region: what is wanted of the pictures, or None for all.
        layers: whether layers are pasted over what the codes paint.
        max_pixels: most pixels of a picture, or None for those of the format.
        compression: how the pictures' files are compressed.
        device: device of the networks.
        batch_size: pictures that go through the networks together.
        force: whether files are overwritten.
        skip_existing: whether finished outputs are kept.
    """

    max_maps: int | None
    allow_truncated: bool
    fill: Fill | None
    seed: int
    realism: float
    region: Region | None
    layers: bool
    max_pixels: int | None
    compression: Compression
    device: str
    batch_size: int
    force: bool
    skip_existing: bool

    @property
    def writers(self) -> int:
        """Number of threads that write the pictures of a batch, whose compression leaves the other cores idle."""
        return num_own_threads()

    @property
    def may_overlap(self) -> bool:
        """Whether two batches may be converted at a time: as in `Encoding`, and where no codes are drawn, which Ctrl-C alone ends."""
        return self.fill is None and not needs_torch(self.device)

    def prepare(self) -> None:
        """Does nothing: every file names its model."""

    def check_finished(self, target: Path) -> None:
        """Checks a picture by reading all of it."""
        read_picture(target)

    def read(self, job: Job) -> OpenedFile:
        """Reads and checks a .vq file, and loads its model."""
        refuse_overwrite(job.target, force=self.force, source=job.source)
        data = read_bytes(job.source)
        with errors_name(input_name(job.source)):
            file = open_file(
                data,
                allow_truncated=self.allow_truncated,
                device=self.device,
                layers=self.layers,
                region=self.region,
                max_pixels=self.max_pixels,
            )
            self._check_output(job, file)
            _ = file.model.codings[: len(file.maps[: self.max_maps])]  # loads their priors
            load_painter(file.model, self.realism)
        return file

    def _check_output(self, job: Job, file: OpenedFile) -> None:
        mode, shown = file.header.mode, self.region or file.header
        has_colours = mode in (ColourMode.RGB, ColourMode.RGBA)
        has_alpha = mode.has_alpha and not file.is_truncated
        has_profile = file.metadata.icc_profile is not None
        check_can_hold(_suffix(job), shown.width, shown.height, has_colours=has_colours, has_alpha=has_alpha, has_profile=has_profile)
        self.compression.options(_suffix(job))

    def warning(self, loaded: OpenedFile) -> str:
        """Returns a warning of a picture that is very large and painted as a whole; else nothing."""
        return size_note(loaded.header.width, loaded.header.height, self.max_pixels) if self.region is None else ""

    def num_pixels(self, loaded: OpenedFile) -> int:
        """Returns the number of pixels of a file's picture."""
        return loaded.header.width * loaded.header.height

    def convert(self, batch: list[OpenedFile], on_progress: OnProgress) -> list[tuple[DecodedFile, Picture | None]]:
        """Decodes files, and paints those that decode without an error."""
        if self.region is not None:
            return [self._part_of(file) for file in batch]
        half = len(batch) / 2
        decoded = decode_codes(batch, max_maps=self.max_maps, on_progress=part_of_work(on_progress, 0, half))
        if self.fill is not None:
            decoded = [fill_missing(file, self.fill, seed=self.seed) for file in decoded]
        intact = [file for file in decoded if file.error is None]
        told = part_of_work(on_progress, half, half)
        pictures = iter(paint(intact, realism=self.realism, batch_size=self.batch_size, on_progress=told))
        return [(file, next(pictures) if file.error is None else None) for file in decoded]

    def _part_of(self, file: OpenedFile) -> tuple[DecodedFile, Picture | None]:
        try:
            return DecodedFile(file, []), paint_region(file, max_maps=self.max_maps, realism=self.realism)
        except VqcodecError as error:
            return DecodedFile(file, [], error), None

    def write(self, job: Job, loaded: OpenedFile, converted: tuple[DecodedFile, Picture | None]) -> FileResult:
        """Writes a picture."""
        with errors_name(input_name(job.source)):
            decoded, picture = converted
            decoded.or_raise()
            assert picture is not None
            shown = replace(picture, alpha=None) if loaded.is_truncated else picture  # what is lost counts as opaque
            written = picture_file(shown, _suffix(job), self.compression)
        write_bytes(job.target, written.data, force=self.force)
        header = loaded.header
        note = "; ".join(filter(None, (self._truncation_note(loaded), *written.notes)))
        return FileResult(
            job,
            source_bytes=loaded.num_bytes,
            target_bytes=len(written.data),
            num_bytes=loaded.num_bytes,
            width=header.width,
            height=header.height,
            part=None if self.region is None else (self.region.width, self.region.height),
            note=note,
        )

    def _truncation_note(self, file: OpenedFile) -> str:
        if not file.is_truncated:
            return ""
        painted = len(file.maps[: self.max_maps])
        filled = ", the others filled in" if self.fill is not None else ""
        lost = "; its transparency, colour profile, EXIF and XMP are lost" if file.header.metadata_bytes else ""
        return f"file is cut: painted from {painted} of {len(file.header.maps)} maps{filled}{lost}"


def _suffix(job: Job) -> str:
    """Returns the suffix that says the format of a job's picture."""
    return ".png" if job.target == STANDARD_STREAM else job.target.suffix
