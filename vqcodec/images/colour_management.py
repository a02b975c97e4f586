"""What becomes of the colours that a picture states: kept as a profile, known as sRGB, converted, dropped with a note, or refused."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from vqcodec.errors import ImageError
from vqcodec.images.colour import is_srgb, profile_of, profile_problem
from vqcodec.images.colour_numbers import Described, hdr_of_profile
from vqcodec.images.tone_mapping import tone_map as hdr_to_srgb


def settle_colours(pixels: NDArray[np.uint8], described: Described, *, tone_map: bool) -> tuple[NDArray[np.uint8], bytes | None, str]:
    """Returns pixels, the profile that says what they are, or None for sRGB, and a note where what was described is not kept.

    Raises:
        ImageError: The pixels are HDR, and `tone_map` is not set.
    """
    is_grey = pixels.ndim == 2
    if described is None:
        return pixels, None, ""
    if isinstance(described, bytes):
        described = hdr_of_profile(described) or described
    if isinstance(described, bytes):
        profile = described[: int.from_bytes(described[:4], "big")]  # libpng refuses what follows its end
        if problem := profile_problem(profile, is_grey=is_grey):
            return pixels, None, f"colour profile dropped, colours taken for sRGB: it is {problem}"
        return pixels, None if is_srgb(profile, is_grey=is_grey) else profile, ""
    try:
        if not described.is_hdr:
            return pixels, profile_of(described, is_grey=is_grey), ""
        if not tone_map:
            name = str(described.transfer).upper()
            raise ImageError(f"HDR picture ({name}), expected SDR; encode --tone-map, or tone_map=True in Python, converts it")
        return hdr_to_srgb(pixels, described), None, ""
    except ValueError as error:
        return pixels, None, f"colour numbers dropped, colours taken for sRGB: they describe {error}"


def cmyk_to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Converts a CMYK image to RGB, of sRGB, by its profile.

    Raises:
        ImageError: There is no profile, or it is not one of CMYK.
    """
    if profile is None:
        raise ImageError("CMYK without a colour profile: its colours are not defined; convert it to RGB first")
    try:
        converted = ImageCms.profileToProfile(
            image, ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError) as error:
        raise ImageError(f"CMYK with an unusable colour profile: {' '.join(str(error).split())}") from error
    assert converted is not None
    return converted
