"""What an actor does: batches of rows in, the same rows with encoded or decoded pictures out; a bad picture is a row with an error."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

import pyarrow as pa

from vqcodec.decoding.files import DecodedFile, check_indices, decode_codes, open_file
from vqcodec.decoding.painting import paint
from vqcodec.encoding.pictures import encode_controlled
from vqcodec.errors import VqcodecError, is_lack_of_memory
from vqcodec.format.container import CoderKind
from vqcodec.images.picture import ReadOptions, picture_from_any
from vqcodec.images.writing import write_picture
from vqcodec.models.config import ModelConfig
from vqcodec.models.model import load_model
from vqcodec.models.painters import load_painter
from vqcodec.nn.threads import set_num_threads
from vqcodec.rate.control import RateControl
from vqcodec.rate.options import LayerOptions
from vqcodec.silence import warnings_ignored

ERROR: Final = "error"
"""Name of the column that says what is wrong with a row; null where all is well."""
CODES: Final = "codes"
"""Name of what is decoded where no picture is painted."""

Row = dict[str, Any]


class _Actor(ABC):
    """A stage that keeps its model from batch to batch, and works with as many threads of torch as its actor has CPUs."""

    column: str
    fields: tuple[tuple[str, pa.DataType], ...]

    def __init__(self, column: str, threads: int, device: str) -> None:
        self.column, self.device = column, device
        set_num_threads(threads)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Returns the rows of a batch without the column that was read, and with `fields` and an error."""
        values = _values(table.column(self.column))
        told = table.column(ERROR).to_pylist() if ERROR in table.column_names else [None] * len(values)
        present = {number: value for number, value in enumerate(values) if value is not None}
        made = dict(zip(present, self._all(list(present.values())), strict=True)) if present else {}
        rows = [made.get(number, {ERROR: told[number] or f"the column {self.column} is null"}) for number in range(len(values))]
        fields = [*self.fields, (ERROR, pa.string())]
        kept = table.drop_columns([name for name in table.column_names if name in {self.column, *(name for name, _ in fields)}])
        for name, kind in fields:
            kept = kept.append_column(pa.field(name, kind), pa.array([row.get(name) for row in rows], kind))
        return kept

    def _all(self, values: list[Any]) -> list[Row]:
        """Converts a batch, or one value at a time where memory does not hold the batch."""
        try:
            with warnings_ignored():  # of colours, a line each
                return self._converted(values)
        except (MemoryError, RuntimeError) as error:
            if len(values) > 1:
                return [row for value in values for row in self._all([value])]
            reason = "not enough memory" if is_lack_of_memory(error) else " ".join(str(error).split())
            return [{ERROR: f"cannot be converted: {reason}"}]

    @abstractmethod
    def _converted(self, values: list[Any]) -> list[Row]:
        """Returns what is new of each row, which is an error for a bad one."""


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Returns bytes, or arrays of what is no bytes; None for nulls."""
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type) or pa.types.is_null(column.type):
        return list(column.to_pylist())
    return [value for chunk in column.chunks for value in chunk.to_numpy(zero_copy_only=False)]


@dataclass(frozen=True)
class Settings:
    """How pictures are encoded, as `vqcodec.codec.loaded.Codec.encode` describes it."""

    rate: RateControl
    coder: CoderKind | None
    layers: LayerOptions
    verify: bool
    reading: ReadOptions


class Encoder(_Actor):
    """Encodes pictures: files as bytes, or uint8 arrays [H, W, 3]."""

    fields = (("vq", pa.binary()), ("width", pa.int32()), ("height", pa.int32()))

    def __init__(self, column: str, threads: int, device: str, config: ModelConfig, settings: Settings) -> None:
        super().__init__(column, threads, device)
        self.model, self.settings = load_model(config, device), settings

    def _converted(self, values: list[Any]) -> list[Row]:
        settings = self.settings
        rows: dict[int, Row] = {}
        pictures = {}
        for number, value in enumerate(values):
            try:
                pictures[number] = picture_from_any(BytesIO(value) if isinstance(value, bytes) else value, **settings.reading)
            except (VqcodecError, TypeError, ValueError) as error:
                rows[number] = {ERROR: str(error)}
        files = encode_controlled(
            list(pictures.values()), self.model, rate=settings.rate, coder=settings.coder, options=settings.layers, batch_size=len(values)
        )
        for (number, picture), file in zip(pictures.items(), files, strict=True):
            height, width = picture.pixels.shape[:2]
            try:
                data = file.or_raise().data
                if settings.verify:
                    check_indices(data, file.indices, model=self.model)
                rows[number] = {"vq": data, "width": width, "height": height}
            except VqcodecError as error:
                rows[number] = {ERROR: str(error)}
        return [rows[number] for number in range(len(values))]


class Decoder(_Actor):
    """Decodes .vq files: to codes, or to picture files."""

    def __init__(self, column: str, threads: int, device: str, suffix: str | None, realism: float, max_maps: int | None) -> None:
        super().__init__(column, threads, device)
        self.suffix, self.realism, self.max_maps = suffix, realism, max_maps
        of_codes = (CODES, pa.list_(pa.list_(pa.uint16())))
        of_picture = ("image", pa.binary())
        self.fields = (of_codes if suffix is None else of_picture, ("width", pa.int32()), ("height", pa.int32()))

    def _converted(self, values: list[Any]) -> list[Row]:
        rows: dict[int, Row] = {}
        opened = {}
        for number, value in enumerate(values):
            try:
                file = open_file(value, device=self.device, layers=self.suffix is not None)
                if self.suffix is not None:
                    load_painter(file.model, self.realism)
                opened[number] = file
            except (VqcodecError, TypeError) as error:
                rows[number] = {ERROR: str(error)}
        decoded = dict(zip(opened, decode_codes(list(opened.values()), max_maps=self.max_maps), strict=True))
        rows |= {number: {ERROR: str(file.error)} for number, file in decoded.items() if file.error is not None}
        intact = {number: file for number, file in decoded.items() if file.error is None}
        for (number, one), made in zip(intact.items(), self._made(list(intact.values())), strict=True):
            header = one.file.header
            rows[number] = {**made, "width": header.width, "height": header.height} if ERROR not in made else made
        return [rows[number] for number in range(len(values))]

    def _made(self, files: Sequence[DecodedFile]) -> list[Row]:
        if self.suffix is None:
            return [{CODES: [indices.reshape(-1).astype("uint16") for indices in file.indices]} for file in files]
        rows: list[Row] = []
        for picture in paint(files, realism=self.realism):
            try:
                rows.append({"image": write_picture(picture, self.suffix)})
            except VqcodecError as error:
                rows.append({ERROR: str(error)})
        return rows
