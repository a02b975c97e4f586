"""Computes the priors of FORMAT.md, section 7, in plain NumPy integers: the oracle of the exact networks. Written from FORMAT.md alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Tensors = dict[str, Ints]

OCTAVES = np.array(
    [
        *(1073741824, 1028218693, 984625594, 942880699, 902905651, 864625413, 827968132, 792865000),
        *(759250125, 727060411, 696235434, 666717336, 638450708, 611382493, 585461881, 560640218),
    ],
    dtype=np.int64,
)


def prior_frequencies(
    config: dict[str, Any], tensors: dict[str, np.ndarray], earlier: list[np.ndarray], codes: np.ndarray, sharpness: int = 16
) -> Ints:
    """Frequencies of the codes of one tile.

    Args:
        config: The prior's entry of `priors` in the model's config.
        tensors: The tensors of the prior, without the prefix `prior_<n>.`.
        earlier: The same tile of every map before: the top [h/2, w/2], then [h, w] each; empty for the top itself.
        codes: The tile's codes [h, w].
        sharpness: That of the map's entry in the header, 16 for coder kind 2.

    Returns:
        Frequencies [h * w, K], one row a code in the order of coding.
    """
    exact = {name: tensor.astype(np.int64) for name, tensor in tensors.items()}
    condition = condition_of(config, exact, earlier) if earlier else None
    logits = logits_of(config, exact, condition, codes) * sharpness >> 4
    return np.stack([frequencies(logits[place]) for place in coding_order(*codes.shape, config["slope"])])


def coding_order(height: int, width: int, slope: int) -> list[tuple[int, int]]:
    """Rows and columns of a tile's codes, step by step and by rising row within a step (section 4)."""
    places = [(r, c) for r in range(height) for c in range(width)]
    return sorted(places, key=lambda place: (place[1] + slope * place[0], place[0]))


# Numbers


def clip(x: Ints, m: int) -> Ints:
    """Returns the integers x clamped to -m..m."""
    return np.clip(x, -m, m)


def round_power(x: Ints, exponent: Ints | int) -> Ints:
    """Returns round(x * 2^exponent), which is floor(x * 2^exponent + 1/2): all is doubled, so that the half is an integer too."""
    up, down = np.maximum(exponent, 0), np.maximum(-exponent, 0)
    return ((2 * x << up) + (1 << down)) >> (down + 1)


def linear(tensors: Tensors, name: str, a: Ints, first_column: int = 0, slope: int = 0) -> Ints:
    """Returns the sums that a linear map or a convolution makes of activations [h, w, I], in units of 2^-17."""
    total = products(tensors[f"{name}.weight"], a, first_column, slope)
    return (total << (12 - tensors[f"{name}.weight_bits"])) + (tensors[f"{name}.bias"] << 9)


def conv3(tensors: Tensors, name: str, a: Ints) -> Ints:
    """Returns a convolution of 3 x 3 taps, f = -1, on the unskewed tile."""
    return linear(tensors, name, a, first_column=-1)


def wide(x: Ints | int) -> Ints:
    """Streams in units of 2^-17."""
    return np.asarray(x) << 9


def stream(total: Ints) -> Ints:
    """Returns the streams of sums in units of 2^-17."""
    return clip(round_power(total, -9), 32767)


def act(total: Ints) -> Ints:
    """Returns the activations of sums in units of 2^-17."""
    return clip(round_power(total, -12), 127)


def products(weight: Ints, a: Ints, first_column: int, slope: int) -> Ints:
    """Returns the sums P of weights [O, R, C, I], or [O, I] for one tap, with activations [h, w, I] that stand skewed by the slope.

    All maps are stored unskewed. In the skewed map code (r, c) stands at (r, c + slope * r); hence what stands there `down` rows below
    and `right` columns to the right of it is code (r + down, c + right - slope * down), or zero where the tile has no such code.
    """
    outputs, inputs = weight.shape[0], weight.shape[-1]
    rows, columns = weight.shape[1:3] if weight.ndim == 4 else (1, 1)
    taps = weight.reshape(outputs, rows, columns, inputs)
    total = np.zeros((*a.shape[:2], outputs), dtype=np.int64)
    for i in range(rows):
        for j in range(columns):
            down, right = i - (rows - 1) // 2, j + first_column
            total += shifted(a, down, right - slope * down) @ taps[:, i, j].T
    return total


def shifted(a: Ints, down: int, right: int) -> Ints:
    """Returns the map whose place (r, c) holds a[r + down, c + right], or zero where that is outside of the tile."""
    (height, width), (rows, columns) = a.shape[:2], (abs(down), abs(right))
    padded = np.pad(a, ((rows, rows), (columns, columns), (0, 0)))
    return padded[rows + down : rows + down + height, columns + right : columns + right + width]


# The condition


def condition_of(config: dict[str, Any], tensors: Tensors, earlier: list[np.ndarray]) -> Ints:
    """Returns the condition [h, w, condition_channels]: activations that know the same tile of all maps before."""
    coarse_blocks, fine_blocks = config["condition_blocks"]
    x = stream(conv3(tensors, "condition.first", tensors["condition.embeddings.0.weight"][earlier[0]]))
    for n in range(coarse_blocks):
        x = block(tensors, f"condition.coarse.{n}", x)
    x = upsampled(stream(linear(tensors, "condition.up", act(wide(x)))), config["condition_channels"])
    for m in range(1, len(earlier)):
        x = stream(wide(x) + conv3(tensors, f"condition.others.{m - 1}", tensors[f"condition.embeddings.{m}.weight"][earlier[m]]))
    for n in range(fine_blocks):
        x = block(tensors, f"condition.fine.{n}", x)
    return act(wide(x))


def block(tensors: Tensors, name: str, x: Ints) -> Ints:
    """Returns the streams of the condition after one residual block."""
    hidden = np.maximum(0, act(conv3(tensors, f"{name}.conv", act(wide(x)))))
    return stream(wide(x) + linear(tensors, f"{name}.project", hidden))


def upsampled(u: Ints, channels: int) -> Ints:
    """Returns the map of twice the rows and columns: x[2r + i, 2c + j, k] = u[r, c, (2i + j) * channels + k]."""
    x = np.zeros((2 * u.shape[0], 2 * u.shape[1], channels), dtype=np.int64)
    for i in range(2):
        for j in range(2):
            first = (2 * i + j) * channels
            x[i::2, j::2] = u[:, :, first : first + channels]
    return x


# The logits


def logits_of(config: dict[str, Any], tensors: Tensors, condition: Ints | None, codes: np.ndarray) -> Ints:
    """Returns the logits [h, w, K] of a tile."""
    heads, slope = config["heads"], config["slope"]
    y = linear(tensors, "first", tensors["embedding.weight"][codes], first_column=-3, slope=slope)
    if heads > 0:
        y = y + wide(position(tensors, *codes.shape))
    x = stream(y)
    for n in range(config["blocks"]):
        if heads > 0 and n == config["blocks"] // 2:
            x = attention(config, tensors, x)
        h = linear(tensors, f"blocks.{n}.conv", act(wide(x)), first_column=1 - config["columns"], slope=slope)
        if condition is not None:
            h = h + wide(stream(linear(tensors, f"blocks.{n}.condition", condition)))
        x = stream(wide(x) + linear(tensors, f"blocks.{n}.project", gated(h, config["channels"])))
    return head(tensors, act(wide(x)))


def position(tensors: Tensors, height: int, width: int) -> Ints:
    """Returns the streams [h, w, channels] that tell where in its tile a code is."""
    rows, columns = tensors["attention.position"]
    return rows[:height, None] + columns[None, :width]


def gated(h: Ints, channels: int) -> Ints:
    """Returns the activations of the first half of the channels, each times the hard sigmoid of its partner in the second half."""
    gate = clip(round_power(h[..., channels:], -12), 64) + 64
    return round_power(act(h[..., :channels]) * gate, -7)


def head(tensors: Tensors, a: Ints) -> Ints:
    """Returns the logits of the last activations."""
    total = products(tensors["head.weight"], a, 0, 0)
    return clip(round_power((total << (12 - tensors["head.weight_bits"])) + (tensors["head.bias"] << 13), -13), 1023)


# Attention


def attention(config: dict[str, Any], tensors: Tensors, x: Ints) -> Ints:
    """Returns the streams after every code has seen the codes of earlier steps in its tile."""
    height, width = x.shape[:2]
    step = np.arange(width) + config["slope"] * np.arange(height)[:, None]
    qkv = act(linear(tensors, "attention.query_key_value", act(wide(x))))
    q, k, v = qkv.reshape(height, width, 3, config["heads"], config["head_dim"]).transpose(2, 0, 1, 3, 4)
    means = np.zeros_like(q)
    for r, c, g in np.ndindex(*q.shape[:3]):
        seen = step < step[r, c]
        means[r, c, g] = attention_mean(q[r, c, g], k[seen, g], v[seen, g])
    return stream(wide(x) + linear(tensors, "attention.project", means.reshape(height, width, -1)))


def attention_mean(q: Ints, k: Ints, v: Ints) -> Ints:
    """Returns the mean of one code and one head, of its query [d] and the keys and values [n, d] of all codes of earlier steps."""
    if len(k) == 0:
        return np.zeros_like(q)
    score = clip(round_power(k @ q, -9), 1023)
    below = np.minimum(255, score.max() - score)
    weight = (127 * OCTAVES[below % 16] + (1 << (29 + below // 16))) >> (30 + below // 16)
    total, divisor = weight @ v, max(1, int(weight.sum()))
    return clip((2 * total + divisor) // (2 * divisor), 127)


# Frequencies


def frequencies(logits: Ints) -> Ints:
    """Returns the frequencies [K] of one code of its logits [K]."""
    d = logits.max() - logits
    scaled = np.where(d < 336, OCTAVES[d % 16] >> np.minimum(10 + d // 16, 62), 0)
    freq = 1 + scaled * (2**24 - len(logits)) // scaled.sum()
    freq[freq.argmax()] += 2**24 - freq.sum()
    return freq
