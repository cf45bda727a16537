"""The integer bilinear resize and the luma, as the C runtime computes them."""

from __future__ import annotations

import numpy as np

WEIGHT_BITS = 11
MAX_SIZE = 16384  # keeps every intermediate value below 2^31


def resize_bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Stretch uint8 (H, W, C) to (height, width, C); `dmt_resize_bilinear_u8` in the runtime.

    Bilinear between pixel centres without antialiasing, as OpenCV's INTER_LINEAR, within one
    level of it. The definition, in integers only, all sizes 1..16384, so that s32 suffices:

    1. Along an axis, output d of n reads inputs i and i + 1 of m with weights 2048 - a and a::

           num = (2 * d + 1) * m - n             # the position times 2 * n
           i   = floor(num / (2 * n))            # -1 at the low edge
           a   = floor(((num - i * 2 * n) * 2048 + n) / (2 * n))      # 0..2048, half up
           if i < 0:      i = 0,     a = 0       # edge pixels repeat
           if i >= m - 1: i = m - 1, a = 0       # i + 1 is not read

    2. Rows first: t[y][d] = src[y][i] * (2048 - a) + src[y][i + 1] * a, for both rows y = j and
       y = j + 1 that the output row needs (j and b by the same rule along the other axis).
    3. out = (t[j][d] * (2048 - b) + t[j + 1][d] * b + 2^21) >> 22. No clamp is needed.

    Equal sizes give the image itself. Channels are independent.
    """
    h, w = image.shape[:2]
    if (h, w) == (height, width):
        return image
    left, right, a = _taps(w, width)
    upper, lower, b = _taps(h, height)
    pixels = image.astype(np.int32)
    a, b = a[:, None], b[:, None, None]
    rows = pixels[:, left] * (2048 - a) + pixels[:, right] * a
    summed = rows[upper] * (2048 - b) + rows[lower] * b
    return ((summed + (1 << 21)) >> 22).astype(np.uint8)


def _taps(m: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First and second input, and the second one's weight, for n outputs over m inputs."""
    num = (2 * np.arange(n, dtype=np.int64) + 1) * m - n
    first = num // (2 * n)
    weight = ((num - first * 2 * n) * (1 << WEIGHT_BITS) + n) // (2 * n)
    weight[(first < 0) | (first >= m - 1)] = 0
    first = np.clip(first, 0, m - 1)
    return first, np.minimum(first + 1, m - 1), weight.astype(np.int32)


def luma(image: np.ndarray) -> np.ndarray:
    """Gray (H, W, 1) from RGB (H, W, 3): (9798 R + 19235 G + 3735 B + 2^14) >> 15, as OpenCV."""
    weighted = image.astype(np.int32) @ np.array([9798, 19235, 3735], np.int32)
    return ((weighted + (1 << 14)) >> 15).astype(np.uint8)[..., None]
