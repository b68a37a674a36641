"""Weights in half the room: float16 on disk, float32 when they are used."""

from typing import Final

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

_SMALL: Final = 1024  # elements of a tensor that is not worth a node of its own


@torch.no_grad()
def round_to_halves(network: nn.Module) -> None:
    """Round every weight of a network to what float16 can hold: it then computes what its halved files compute."""
    for values in network.state_dict().values():
        if values.is_floating_point():
            values.copy_(values.half().float())


def halved(model: bytes) -> bytes:
    """An ONNX model whose large float32 weights are kept as float16, and cast where they are used.

    The runtimes cast once, when they load it. Nothing is lost of weights that float16 can hold.
    """
    loaded = onnx.load_model_from_string(model)
    graph = loaded.graph
    large = [each for each in graph.initializer if each.data_type == TensorProto.FLOAT and _size(each) >= _SMALL]
    for weight in large:
        half = numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), f"{weight.name}.half")
        graph.initializer.remove(weight)
        graph.initializer.append(half)
        graph.node.insert(0, helper.make_node("Cast", [half.name], [weight.name], to=TensorProto.FLOAT))
    onnx.checker.check_model(loaded, full_check=True)
    serialised: bytes = loaded.SerializeToString(deterministic=True)
    return serialised


def widened(model: bytes) -> bytes:
    """The same model with its float16 weights as float32: `halved`, taken back."""
    loaded = onnx.load_model_from_string(model)
    graph = loaded.graph
    halves = {each.name: each for each in graph.initializer if each.data_type == TensorProto.FLOAT16}
    for cast in [node for node in graph.node if node.op_type == "Cast" and node.input[0] in halves]:
        half = halves[cast.input[0]]
        graph.initializer.append(
            numpy_helper.from_array(numpy_helper.to_array(half).astype(np.float32), cast.output[0])
        )
        graph.initializer.remove(half)
        graph.node.remove(cast)
    serialised: bytes = loaded.SerializeToString(deterministic=True)
    return serialised


def _size(weight: TensorProto) -> int:
    return int(np.prod(weight.dims))
