"""The convolutions of the CFN, and how many multiplications it takes."""

from __future__ import annotations

from typing import NamedTuple

CONVOLUTIONS = (
    *((96, 11, True), (256, 5, True)),
    *((384, 3, False), (384, 3, False), (256, 3, True)),
)
"""Channels, kernel size, and whether a 3 x 3 pooling of stride 2 follows, for each convolution. The
first convolution has stride 2. Source: Noroozi & Favaro 2016, figure 3."""


def convolutions(width: float) -> list[tuple[int, int, int, bool]]:
    """Channels, kernel size and stride of each convolution, and whether a pooling follows.

    Args:
        width: factor on AlexNet's numbers of channels.
    """
    return [
        (max(1, round(channels * width)), kernel, 1 if index else 2, pooled)
        for index, (channels, kernel, pooled) in enumerate(CONVOLUTIONS)
    ]


def padding(length: int, kernel: int, stride: int) -> int:
    """The number of zeros that SAME padding puts before an axis."""
    return max((-(-length // stride) - 1) * stride + kernel - length, 0) // 2


class MultiplyAdds(NamedTuple):
    """What an input costs in multiply-adds that touch data: padding is left out.

    Attributes:
        forward: all of the network.
        first: its first convolution, whose input has no gradient.
    """

    forward: int
    first: int

    @property
    def training(self) -> int:
        """Forward, and the gradients of weights and of inputs."""
        return 3 * self.forward - self.first


def multiply_adds(
    patches: int,
    tile_shape: tuple[int, int, int],
    outputs: int,
    *,
    width: float = 1.0,
    tile_features: int = 512,
    joined_features: int = 4096,
) -> MultiplyAdds:
    """The multiply-adds of one input.

    Args:
        patches, tile_shape, outputs, width, tile_features, joined_features: as
            :func:`shuffle_to_learn.models.cfn.build_cfn` takes them.
    """
    height, length, channels = tile_shape
    tile, first = 0, 0
    for filters, kernel, stride, pooled in convolutions(width):
        tile += _pairs(height, kernel, stride) * _pairs(length, kernel, stride) * channels * filters
        first = first or tile
        channels = filters
        height, length = -(-height // stride), -(-length // stride)
        if pooled:
            height, length = -(-height // 2), -(-length // 2)
    tile += channels * height * length * tile_features
    joint = patches * tile_features * joined_features + joined_features * outputs
    return MultiplyAdds(patches * tile + joint, patches * first)


def _pairs(length: int, kernel: int, stride: int) -> int:
    """How many weights of all windows along an axis lie on the input, with SAME padding."""
    out = -(-length // stride)
    before = padding(length, kernel, stride)
    starts = range(-before, -before + out * stride, stride)
    return sum(min(s + kernel, length) - max(s, 0) for s in starts)
