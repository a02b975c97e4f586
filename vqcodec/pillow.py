"""The plugin of Pillow: `import vqcodec.pillow` lets Pillow open, identify and save .vq files.

    import vqcodec.pillow

    with Image.open("photo.vq") as image:  # reads the header alone
        image.thumbnail((256, 256))        # decodes the first maps
    image.save("small.vq", quality=40)

Neither torch nor NumPy is imported before pixels are decoded or encoded.
"""

from dataclasses import replace
from threading import RLock
from typing import IO, TYPE_CHECKING, Any, Final, cast

from PIL import Image, ImageFile

from vqcodec.errors import FormatError, LimitExceededError, TruncatedError, VqcodecError
from vqcodec.format.container import (
    FORMAT_VERSION,
    MAGIC,
    MAX_HEADER_BYTES,
    MAX_PIXELS,
    MIME_TYPE,
    PLAIN_VERSION,
    SUFFIX,
    read_container,
    read_header,
)
from vqcodec.format.limits import check_file_size
from vqcodec.format.metadata import find_tags
from vqcodec.images.exif import EXIF_PREFIX

if TYPE_CHECKING:
    from vqcodec.decoding.reader import Reader

FORMAT: Final = "VQ"
"""Pillow's name of the format."""
_DRAFTS: Final = (8, 4, 2)
"""Pixels of the picture along each side of a pixel of a draft."""
_OPTIONS: Final = (
    *("model", "device", "quality", "num_maps", "rate_weight", "max_bytes", "target_bpp", "tune", "coder", "verify", "exact", "layers"),
    "tone_map",
)
"""Options of `vqcodec.encode` that `Image.save` takes; others are ignored, as Pillow's own plugins ignore them."""


class VqImageFile(ImageFile.ImageFile):
    """A .vq file that Pillow has opened.

    Its size, mode, colour profile, EXIF and XMP are known at once. Pixels are decoded when they are needed, by the installed model that the
    file names. The profile, EXIF and XMP of a file that is cut or damaged may be missing; `load` and `verify` say what is wrong with it.
    """

    format = FORMAT
    format_description = "vqcodec, code maps of a learned image codec"
    _draft = 1
    _reader: "Reader | None" = None
    _cropped_pixels = 0

    def _open(self) -> None:
        assert self.fp is not None
        try:
            header, start = read_header(self.fp.read(MAX_HEADER_BYTES))
        except FormatError as error:
            raise SyntaxError(str(error)) from error
        self._size, self._mode = (header.width, header.height), header.mode.name
        self._num_bytes = start + header.layers_bytes + header.payload_bytes + header.metadata_bytes
        self._lock = RLock()
        self.tile = [ImageFile._Tile("vq", (0, 0, *self.size))]
        try:
            tags = find_tags(cast("Any", self.fp), self._num_bytes - header.metadata_bytes, header.metadata_bytes)
        except FormatError:
            return
        exif = None if tags.exif is None else EXIF_PREFIX + tags.exif
        self.info.update({key: value for key, value in (("icc_profile", tags.icc_profile), ("exif", exif), ("xmp", tags.xmp)) if value})

    def verify(self) -> None:
        """Checks all checksums of the file but those of codes, without decoding it; the picture must then be opened anew.

        Raises:
            OSError: The file is damaged or cut.
            RuntimeError: The picture was loaded or closed before.
        """
        if self.fp is None or not self.tile:
            raise RuntimeError("verify must be called directly after open")
        try:
            read_container(self._data())
        except FormatError as error:
            raise _os_error(error) from error
        finally:
            super().verify()

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> tuple[str, tuple[int, int, float, float]] | None:  # noqa: ARG002
        """Lets `load` decode the picture at 1/2, 1/4 or 1/8 of its size, but at no less than asked, from its first maps.

        At 1/2 it is painted from two maps, at 1/4 and 1/8 it is sketched from one (`Reader.sketch`). `thumbnail` calls this, and asks for
        twice the size that it needs.

        Args:
            mode: is not regarded.
            size: width and height that are wanted; None for all.

        Returns:
            The mode, and the box of the whole picture within what will be decoded; None where nothing changes.
        """
        if not self.tile or self._draft > 1 or not size:
            return None
        width, height = self.size
        scale = min(width // max(1, size[0]), height // max(1, size[1]))
        self._draft = next((draft for draft in _DRAFTS if draft <= scale), 1)
        if self._draft == 1:
            return None
        self._size = -(-width // self._draft), -(-height // self._draft)
        return self.mode, (0, 0, width / self._draft, height / self._draft)

    def load(self) -> Any:
        """Decodes the picture or its draft, once.

        With `ImageFile.LOAD_TRUNCATED_IMAGES`, a file that was cut gives what its complete maps show.

        Raises:
            OSError: The file is damaged or cut, or its model is not installed.
            DecompressionBombError: It has more pixels than `Image.MAX_IMAGE_PIXELS`, and too few bytes for so many (`Codec.decode`).
            ValueError: The picture is closed.
        """
        if self.tile:
            with self._lock:
                if self.tile:
                    self._decode()
        return super().load()

    def load_seek(self, pos: int) -> None:
        """Does nothing; by its being there, `ImageFile.Parser` knows that it has to wait for the whole file."""

    def _decode(self) -> None:
        file = self._opened()
        try:
            if ImageFile.LOAD_TRUNCATED_IMAGES:
                image = self._what_is_there()
            elif self._draft > 1:
                self._check_pixels(self._num_bytes)
                reader = self._as_reader()
                image = reader.read_region((0, 0), 1, self.size, max_maps=2) if self._draft == 2 else reader.sketch(self._draft)
            else:
                image = self._whole(self._data())
        except VqcodecError as error:
            raise _os_error(error) from error
        self.im, self._mode, self.tile, self.readonly, self._reader = image.im, image.mode, [], 0, None
        if self._exclusive_fp:
            file.close()
        self.fp = None

    def _whole(self, data: bytes, *, allow_truncated: bool = False) -> Image.Image:
        from vqcodec.codec.calls import decode

        self._check_pixels(len(data))
        return decode(data, allow_truncated=allow_truncated, max_pixels=MAX_PIXELS)

    def _what_is_there(self) -> Image.Image:
        image = self._whole(self._data(), allow_truncated=True)
        return image.reduce(self._draft) if self._draft > 1 else image

    def crop(self, box: tuple[float, float, float, float] | None = None) -> Image.Image:
        """Returns a region of the picture.

        Of a picture that is not loaded, only what the region needs is decoded. Once such regions add up to the picture, it is loaded.

        Args:
            box: left, upper, right and lower edge in pixels; None for all.

        Raises:
            OSError, DecompressionBombError: As `load` raises them.
            ValueError: An edge lies before its opposite, or the picture is closed.
        """
        if box is not None and self.tile and self._draft == 1 and not ImageFile.LOAD_TRUNCATED_IMAGES:
            left, upper, right, lower = map(round, box)
            if 0 <= left < right <= self.width and 0 <= upper < lower <= self.height:
                with self._lock:
                    self._cropped_pixels += (right - left) * (lower - upper)
                    if self.tile and self._cropped_pixels < self.width * self.height:
                        return self._region(left, upper, right - left, lower - upper)
        return super().crop(box)

    def _region(self, left: int, top: int, width: int, height: int) -> Image.Image:
        self._check_pixels(self._num_bytes)
        try:
            return self._new(self._as_reader().read_region((left, top), 0, (width, height)).im)
        except VqcodecError as error:
            raise _os_error(error) from error

    def _opened(self) -> IO[bytes]:
        if self.fp is None or self.fp.closed:
            raise ValueError("Operation on closed image")
        return self.fp

    def _data(self) -> bytes:
        file = self._opened()
        file.seek(0)
        return file.read()

    def _as_reader(self) -> "Reader":
        from vqcodec.codec.calls import open as open_reader

        file = self._opened()
        if self._reader is None:
            self._reader = open_reader(cast("Any", file), max_pixels=MAX_PIXELS)
        return self._reader

    def _check_pixels(self, num_bytes: int) -> None:
        """Refuses a picture of which Pillow has warned, if it has too few bytes; Pillow itself refuses one of twice as many pixels."""
        width, height = self.tile[0].extents[2:]  # type: ignore[index]
        if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
            try:
                check_file_size(width, height, num_bytes, None)
            except LimitExceededError as error:
                raise Image.DecompressionBombError(f"{error}; so does Image.MAX_IMAGE_PIXELS") from error


def _accept(prefix: bytes) -> bool | str:
    if not prefix.startswith(MAGIC):
        return False
    version = prefix[len(MAGIC) : len(MAGIC) + 1]
    if version and version[0] not in (PLAIN_VERSION, FORMAT_VERSION):
        return f".vq file of format version {version[0]}, expected {PLAIN_VERSION} or {FORMAT_VERSION}"
    return True


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:  # noqa: ARG001 (Pillow gives it)
    from vqcodec.codec.calls import encode
    from vqcodec.images.colour import ADOBE_RGB
    from vqcodec.images.samples import Stated, check_samples, keep_stated, stated_by_file, with_whole_palette
    from vqcodec.images.tags import colour_space_of
    from vqcodec.silence import warnings_ignored

    given = image.encoderinfo
    exif = given.get("exif")
    profile = given.get("icc_profile", image.info.get("icc_profile"))
    if profile and not isinstance(profile, bytes):
        raise TypeError(f"icc_profile must be bytes, not {type(profile).__name__}")
    stored = {
        "icc_profile": profile,
        "exif": exif.tobytes() if isinstance(exif, Image.Exif) else exif,
        "xmp": given.get("xmp"),
        "transparency": image.info.get("transparency"),
    }
    shown = with_whole_palette(image)
    plain = shown._new(shown.im)  # upright as it is, and without EXIF and XMP of its file
    plain.info = {key: value for key, value in stored.items() if value is not None}
    try:
        with warnings_ignored():
            if "icc_profile" in given:
                check_samples(image)
                stated = Stated()
            else:
                stated = stated_by_file(image)
                if stated.colours is None and not profile and colour_space_of(image) == "adobe":
                    stated = replace(stated, colours=ADOBE_RGB)
        keep_stated(plain, replace(stated, icc_profile=plain.info.get("icc_profile"), frame=0))
        file.write(encode(plain, **{key: given[key] for key in _OPTIONS if key in given}))
    except VqcodecError as error:
        raise OSError(f"cannot write mode {image.mode} as {FORMAT}: {error}") from error


def _os_error(error: VqcodecError) -> OSError:
    return OSError(f"image file is truncated: {error}" if isinstance(error, TruncatedError) else str(error))


Image.register_open(FORMAT, VqImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, SUFFIX)
Image.register_mime(FORMAT, MIME_TYPE)
