"""What a step of the frozen head takes, with more classes than would fit as logits. See benchmarks/head.py."""

import math
from functools import partial
from weakref import WeakSet

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.testing import assert_close

from kd.head import (
    FrozenHead,
    margin_cross_entropy,
    unit,
)
from kd.margins import ArcFace
from tests.kd.test_head import EVERY_STORE, gradient, random


class Largest(TorchFunctionMode):
    """Elements of the largest tensor that any torch function has returned."""

    elements = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.elements = max(self.elements, result.numel())
        return result


class Saved:
    """A tensor that a backward pass will need; in `alive` as long as it does."""

    def __init__(self, alive, tensor):
        self.tensor = tensor
        alive.add(self)


MANY, WIDE, BATCH = 20_000, 512, 64


@pytest.fixture(scope="module")
def many():
    """Classes, labels and faces some way from their class, as many as a test can pay for. See benchmarks/head.py."""
    weights, labels = unit(random(MANY, WIDE)), torch.arange(BATCH) * 300
    return weights, labels, unit(weights[labels] + random(BATCH, WIDE, seed=1) * 1.5 / math.sqrt(WIDE))


class TestSize:
    def test_int8_gives_the_loss_and_the_slope_of_float32_in_a_quarter_of_its_memory(self, many):
        weights, labels, raw = many
        found = {}
        for store in ("float32", "int8"):
            vectors, head = raw.clone().requires_grad_(), FrozenHead(weights, store)
            loss = margin_cross_entropy(vectors, raw, labels, head, ArcFace(0.5), scale=64.0, ramp=1.0).mean()
            found[store] = (loss.detach(), gradient(loss, vectors).flatten())
        size = sum(buffer.numel() * buffer.element_size() for buffer in head.buffers())
        assert size <= 0.55e9 * MANY / 1_000_000
        assert_close(found["int8"][0], found["float32"][0], rtol=2e-3, atol=0)
        assert float(F.cosine_similarity(found["int8"][1], found["float32"][1], dim=0)) >= 0.9995

    @EVERY_STORE
    def test_no_tensor_grows_with_the_number_of_classes(self, many, store):
        weights, labels, raw = many
        head, vectors, chunk = FrozenHead(weights, store), raw.clone().requires_grad_(), 256
        with Largest() as largest:
            loss = margin_cross_entropy(vectors, raw, labels, head, ArcFace(0.5), scale=64.0, ramp=1.0, chunk=chunk)
            loss.sum().backward()
        assert largest.elements == chunk * WIDE

    def test_what_is_kept_for_the_backward_pass_does_not_grow_either(self, many):
        weights, labels, raw = many
        kept = []
        for classes in (MANY // 2, MANY):
            vectors, head, alive = raw.clone().requires_grad_(), FrozenHead(weights[:classes]), WeakSet()
            with torch.autograd.graph.saved_tensors_hooks(partial(Saved, alive), lambda saved: saved.tensor):
                loss = margin_cross_entropy(
                    vectors, raw, labels % classes, head, ArcFace(0.5), scale=64.0, ramp=1.0, chunk=1_000
                )
            kept.append(sum(saved.tensor.numel() for saved in alive))
            loss.sum().backward()
        assert kept[0] == kept[1] > 0
