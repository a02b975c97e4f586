"""Photos for measures of distortion: five crops whose sides divide by 16, so that no scale of MS-SSIM has an odd side."""

from io import BytesIO

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image

PHOTOS = {
    "astronaut": skimage.data.astronaut()[:240, 96:336],
    "chelsea": skimage.data.chelsea()[:240, 100:340],
    "coffee": skimage.data.coffee()[64:304, :256],
    "rocket": skimage.data.rocket()[:256, 128:368],
    "hubble": skimage.data.hubble_deep_field()[300:540, 300:540],
}
QUALITIES = (5, 30, 90)


def jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    file = BytesIO()
    Image.fromarray(image).save(file, format="JPEG", quality=quality)
    return np.asarray(Image.open(file))
