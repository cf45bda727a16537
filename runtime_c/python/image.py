"""Pictures in the C runtime: camera frames, and its resize."""

from __future__ import annotations

import numpy as np

from demitasse.errors import DataError
from demitasse.runtime.library import PIXELS, Frame, load

MAX_SIDE = 16384
_CHANNELS = {"gray": 1, "rgb": 3, "bgr": 3, "bgra": 4}


def resize_bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Stretch uint8 (H, W, C) to (height, width, C) as `dmt_image` does; all sizes 1..16384.

    The same bytes as `demitasse.quantizer.resize.resize_bilinear`, whose docstring defines them.
    """
    image = np.ascontiguousarray(image)
    if image.dtype != np.uint8 or image.ndim != 3:
        raise DataError(f"{image.dtype} of shape {image.shape} is not a uint8 image (H, W, C)")
    h, w, channels = image.shape
    if not all(1 <= side <= MAX_SIDE for side in (h, w, height, width)):
        raise DataError(f"resize from {w}x{h} to {width}x{height} is out of 1..{MAX_SIDE}")
    out = np.empty((height, width, channels), np.uint8)
    load().dmt_resize_bilinear_u8(
        *(image.ctypes.data, w, h, w * channels),
        *(out.ctypes.data, width, height, width * channels),
        channels,
    )
    return out


def make_frame(pixels: np.ndarray, layout: str) -> tuple[Frame, np.ndarray]:
    """A dmt_frame over uint8 pixels, and the array that it points into.

    layout: "gray" (H, W), "rgb" or "bgr" (H, W, 3), "bgra" (H, W, 4), "nv12" (H + H / 2, W): the
    luma rows, then the rows of U, V pairs.
    """
    if layout not in PIXELS:
        raise DataError(f"unknown layout '{layout}'", remedy=", ".join(PIXELS))
    data = np.ascontiguousarray(pixels)
    if layout == "gray" and data.ndim == 3 and data.shape[2] == 1:
        data = data[:, :, 0]
    rank = 2 if layout in ("gray", "nv12") else 3
    if data.dtype != np.uint8 or data.ndim != rank or 0 in data.shape:
        raise DataError(f"{data.dtype} of shape {data.shape} is not a uint8 {layout} frame")
    height, width = data.shape[:2]
    if layout == "nv12":
        if height % 3 or width % 2:
            raise DataError(f"an nv12 frame of {height} rows of {width} has no whole chroma plane")
        height = height // 3 * 2
    elif rank == 3 and data.shape[2] != _CHANNELS[layout]:
        raise DataError(f"{data.shape[2]} channels are not {layout}")
    row = data.strides[0]
    chroma = data.ctypes.data + height * row if layout == "nv12" else None
    frame = Frame(data.ctypes.data, chroma, width, height, row, PIXELS[layout])
    return frame, data
