"""The inherited classifier stays what it was, and its losses are the dense formulas, however they are cut up."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck
from torch.testing import assert_close

from kd import distributed
from kd.errors import UnknownName
from kd.head import (
    STORES,
    FrozenHead,
    TrainableHead,
    margin_cross_entropy,
    mean_cosine,
    softmax_divergence,
    stretched,
    unit,
)
from kd.margins import MARGINS, ArcFace, CosFace

pytest_plugins = ["tests.kd.ranks"]

CLASSES, DIM, SCALE, RAMP = 7, 8, 12.0, 0.6
LABELS = torch.tensor([3, -1, 0, 6, 6, -1])
EVERY_MARGIN = pytest.mark.parametrize("name", MARGINS)
EVERY_STORE = pytest.mark.parametrize("store", STORES)
TOLERANCE = {"float32": 1e-6, "bfloat16": 4e-3, "int8": 8e-3}  # of a cosine


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


def in_a_cone(weights: torch.Tensor) -> torch.Tensor:
    return unit(weights) + 3 * unit(torch.ones(1, weights.shape[1]))


@pytest.fixture
def weights() -> torch.Tensor:
    return random(CLASSES, DIM)


def faces(count: int = len(LABELS), dim: int = DIM) -> torch.Tensor:
    """Raw embeddings in float64, of many lengths."""
    return random(count, dim, seed=1).double() * torch.linspace(1, 40, count)[:, None].double()


def unit64(raw: torch.Tensor) -> torch.Tensor:
    return raw / raw.norm(dim=1, keepdim=True)


def loss_of(raw, labels, rows, margin, **cut):
    return margin_cross_entropy(unit64(raw), raw, labels, rows, margin, scale=SCALE, ramp=RAMP, **cut)


def dense_loss(raw, labels, rows, margin):
    """Every logit of one labelled row after another."""
    losses = []
    for vector, label in zip(raw[labels >= 0], labels[labels >= 0].tolist(), strict=True):
        cosines = (rows.chunk(0, rows.count).to(raw) @ vector / vector.norm() - rows.floor) / (1 - rows.floor)
        target = margin.target(cosines[label, None], vector.norm()[None], RAMP)
        logits = SCALE * margin.others(cosines[None], target, RAMP)[0]
        own = F.one_hot(torch.tensor(label), rows.count).bool()
        logits = torch.where(own, SCALE * target, logits)
        losses.append(-logits.log_softmax(dim=0)[label])
    return torch.stack(losses)


def cosines_to(head, vectors):
    return stretched(vectors @ head.chunk(0, head.count).T, head.floor)


def gradient(loss: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(loss, of)[0]


class TestRows:
    def test_no_optimiser_and_no_checkpoint_can_find_the_weights(self, weights):
        head = FrozenHead(weights)
        assert list(head.parameters()) == []
        assert head.state_dict() == {}

    @EVERY_STORE
    def test_weights_of_any_length_are_rows_of_unit_length(self, weights, store):
        head = FrozenHead(weights * torch.logspace(-3, 3, CLASSES)[:, None], store)
        rows = head.chunk(0, CLASSES)
        assert rows.dtype == torch.float32
        assert_close(rows.norm(dim=1), torch.ones(CLASSES))
        assert_close((rows * unit(weights)).sum(dim=1), torch.ones(CLASSES), atol=TOLERANCE[store] / 10, rtol=0)

    @EVERY_STORE
    def test_rows_are_had_by_label_or_in_order(self, weights, store):
        head = FrozenHead(weights, store)
        assert_close(head.of(torch.tensor([5, 2, 2])), head.chunk(0, CLASSES)[[5, 2, 2]], rtol=0, atol=0)
        assert_close(torch.cat([head.chunk(0, 3), head.chunk(3, CLASSES)]), head.chunk(0, CLASSES), rtol=0, atol=0)

    @pytest.mark.parametrize(("store", "size"), [("float32", 4), ("bfloat16", 2), ("int8", 1)])
    def test_a_store_costs_its_bytes_and_a_scale_for_each_row(self, weights, store, size):
        head = FrozenHead(weights, store)
        assert head.rows.numel() * head.rows.element_size() == CLASSES * DIM * size
        assert head.scales.numel() == CLASSES

    def test_a_class_without_weights_is_near_to_nobody(self):
        weights = torch.cat([torch.eye(4), torch.zeros(1, 4)])
        for store in STORES:
            assert_close(FrozenHead(weights, store).chunk(4, 5), torch.zeros(1, 4))

    def test_the_weights_given_are_left_alone(self, weights):
        before = weights.clone()
        head = FrozenHead(weights)
        head.rows.zero_()
        assert_close(weights, before, rtol=0, atol=0)

    def test_an_unknown_store_is_answered_with_the_names(self, weights):
        with pytest.raises(UnknownName, match=r"no such store: 'int4'\. Choose from bfloat16, float32, int8\."):
            FrozenHead(weights, "int4")


class TestCone:
    def test_the_mean_cosine_is_that_of_all_pairs(self, weights):
        rows = unit(weights)
        pairs = [float(rows[i] @ rows[j]) for i, j in combinations(range(CLASSES), 2)]
        assert float(mean_cosine(rows)) == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)

    @EVERY_STORE
    def test_the_floor_is_the_mean_cosine_of_the_exact_rows(self, weights, store, monkeypatch):
        cone = in_a_cone(weights)
        monkeypatch.setattr("kd.head.CHUNK", 3)
        assert_close(FrozenHead(cone, store).floor, mean_cosine(unit(cone)))

    def test_two_strangers_are_at_zero_and_a_mate_at_one(self, weights):
        cone = in_a_cone(weights)
        cosines = cosines_to(FrozenHead(cone), unit(cone))
        off_diagonal = cosines[~torch.eye(CLASSES, dtype=torch.bool)]
        assert_close(cosines.diagonal(), torch.ones(CLASSES))
        assert abs(float(off_diagonal.mean())) < 1e-5

    def test_where_the_space_is_spread_out_nothing_is_stretched(self):
        head = FrozenHead(torch.cat([torch.eye(4), -torch.eye(4)]))
        rows = unit(random(3, 4))
        assert_close(cosines_to(head, rows), torch.cat([rows, -rows], dim=1))

    def test_a_single_class_is_not_a_cone(self):
        assert float(FrozenHead(torch.ones(1, 4)).floor) == 0


class TestMarginCrossEntropy:
    @EVERY_MARGIN
    @EVERY_STORE
    @pytest.mark.parametrize("chunk", [1, 3, CLASSES - 1, CLASSES, CLASSES + 1])
    def test_it_is_the_dense_formula_value_and_slope(self, weights, name, store, chunk):
        head, raw = FrozenHead(in_a_cone(weights), store), faces().requires_grad_()
        margin = MARGINS[name](MARGINS[name].usual).eval()
        loss = loss_of(raw, LABELS, head, margin, chunk=chunk)
        expected = dense_loss(raw, LABELS, head, margin)
        coefficients = torch.linspace(-1, 2, len(loss), dtype=torch.float64)
        assert_close(loss, expected, rtol=1e-6, atol=1e-9)
        assert_close(
            gradient((coefficients * loss).sum(), raw),
            gradient((coefficients * expected).sum(), raw),
            rtol=1e-6,
            atol=1e-9,
        )

    @EVERY_MARGIN
    def test_its_slope_is_that_of_its_value(self, weights, name):
        head, margin = FrozenHead(weights), MARGINS[name](MARGINS[name].usual).eval()
        raw = faces()  # what a margin makes of lengths has no gradient, so they are held

        def loss(vectors):
            return margin_cross_entropy(vectors, raw, LABELS, head, margin, scale=SCALE, ramp=RAMP, chunk=3)

        assert gradcheck(loss, unit64(raw).requires_grad_())

    @EVERY_MARGIN
    @pytest.mark.parametrize("chunk", [2, CLASSES])
    def test_rows_that_learn_have_the_slope_of_the_dense_formula(self, name, chunk):
        head, raw = TrainableHead(CLASSES, DIM).double(), faces().requires_grad_()
        margin = MARGINS[name](MARGINS[name].usual).eval()
        loss, expected = loss_of(raw, LABELS, head, margin, chunk=chunk), dense_loss(raw, LABELS, head, margin)
        assert_close(loss, expected)
        slopes, dense_slopes = (torch.autograd.grad(of.sum(), (raw, head.weights)) for of in (loss, expected))
        assert_close(slopes, dense_slopes, rtol=1e-6, atol=1e-9)

    @pytest.mark.parametrize("make", [FrozenHead, lambda weights: TrainableHead(*weights.shape)])
    def test_a_batch_without_labels_is_a_differentiable_nothing(self, weights, make):
        raw = faces().float().requires_grad_()
        loss = distributed.mean(
            margin_cross_entropy(
                unit(raw), raw, torch.full((6,), -1), make(weights), ArcFace(0.5), scale=SCALE, ramp=1.0
            )
        )
        loss.backward()
        assert float(loss.detach()) == 0
        assert not raw.grad.any()

    def test_one_class_alone_is_known_without_a_doubt(self):
        raw = faces().requires_grad_()
        loss = loss_of(raw, torch.zeros(6, dtype=torch.int64), FrozenHead(torch.ones(1, DIM)), CosFace(0.35))
        loss.sum().backward()
        assert_close(loss, torch.zeros_like(loss))
        assert_close(raw.grad, torch.zeros_like(raw))

    @pytest.mark.parametrize("towards", [1, -1])
    @EVERY_MARGIN
    def test_a_face_on_its_class_or_opposite_to_it_has_a_finite_slope(self, weights, name, towards):
        raw = (towards * 5 * unit(weights)).requires_grad_()
        margin = MARGINS[name](MARGINS[name].usual)
        labels = torch.arange(CLASSES)
        loss = margin_cross_entropy(
            unit(raw), raw, labels, FrozenHead(in_a_cone(weights)), margin, scale=64.0, ramp=1.0
        )
        loss.sum().backward()
        assert torch.isfinite(loss).all()
        assert torch.isfinite(raw.grad).all()

    def test_a_margin_remembers_labelled_rows_once_a_step_and_in_training_alone(self, weights):
        head, margin, seen = FrozenHead(weights), ArcFace(0.5), []
        margin.observe = lambda cosine, norms: seen.append((cosine, norms))
        raw = faces()
        loss_of(raw, LABELS, head, margin.eval())
        assert seen == []
        loss_of(raw.requires_grad_(), LABELS, head, margin.train(), chunk=2).sum().backward()
        ((cosine, norms),) = seen
        known = LABELS >= 0
        assert_close(cosine, cosines_to(head, unit64(raw).float())[known, LABELS[known]].detach(), check_dtype=False)
        assert_close(norms, raw.detach()[known].norm(dim=1))


class TestSoftmaxDivergence:
    @EVERY_STORE
    @pytest.mark.parametrize("chunk", [1, 3, CLASSES, CLASSES + 1])
    def test_it_is_the_dense_formula(self, weights, store, chunk):
        head, raw = FrozenHead(in_a_cone(weights), store), faces().requires_grad_()
        targets = unit64(faces() + random(6, DIM, seed=2))
        ours, theirs = (
            (SCALE * stretched(side @ head.chunk(0, CLASSES).double().T, head.floor)).log_softmax(dim=1)
            for side in (unit64(raw), targets)
        )
        expected = torch.stack(
            [sum(math.exp(t) * (t - o) for t, o in zip(*row, strict=True)) for row in zip(theirs, ours, strict=True)]
        )
        found = softmax_divergence(unit64(raw), targets, head, scale=SCALE, chunk=chunk)
        assert_close(found, expected)
        assert_close(gradient(found.sum(), raw), gradient(expected.sum(), raw))

    def test_its_slope_is_that_of_its_value(self, weights):
        head, targets = FrozenHead(weights), unit64(faces().flip(0))
        assert gradcheck(
            lambda raw: softmax_divergence(unit64(raw), targets, head, scale=SCALE, chunk=2), faces().requires_grad_()
        )

    def test_it_is_zero_for_a_student_that_agrees_and_no_gradient_reaches_the_teacher(self, weights):
        vectors, targets = unit64(faces()).requires_grad_(), unit64(faces()).requires_grad_()
        loss = softmax_divergence(vectors, targets, FrozenHead(weights), scale=SCALE)
        loss.sum().backward()
        assert_close(loss, torch.zeros_like(loss))
        assert_close(vectors.grad, torch.zeros_like(vectors))
        assert targets.grad is None

    def test_no_rows_are_no_loss(self, weights):
        nothing = torch.zeros(0, DIM, requires_grad=True)
        softmax_divergence(nothing, nothing.detach(), FrozenHead(weights), scale=SCALE).sum().backward()
        assert nothing.grad.shape == (0, DIM)


def whole_step(raw, labels, weights, store, name, targets, *, sharded=False):
    """Mean loss, divergence, their gradients at the rows, what the margin then remembers, and the head's floor."""
    head, margin = FrozenHead(weights, store, sharded=sharded), MARGINS[name](MARGINS[name].usual)
    mine = distributed.share(len(raw))
    own = raw[mine].clone().requires_grad_()
    losses = [
        distributed.mean(loss_of(own, labels[mine], head, margin, chunk=2)),
        distributed.mean(softmax_divergence(unit64(own), targets[mine], head, scale=SCALE, chunk=2)),
    ]
    gradients = [gradient(loss, own) / distributed.world() for loss in losses]
    return torch.stack(losses).detach(), gradients, margin.state_dict(), head.floor


def sharded_step(*setting):
    return whole_step(*setting, sharded=True)


def look_up(weights, store, labels):
    head = FrozenHead(weights, store, sharded=True)
    return head.held, len(head.rows), head.of(labels[distributed.share(len(labels))])


class TestOnSeveralRanks:
    UNEVEN = torch.tensor([3, 0, 6, 6, -1, -1, -1])  # the last of two or three ranks has no labelled row
    NOBODY = torch.full((7,), -1)

    @pytest.mark.parametrize("world", [2, 3])
    @pytest.mark.parametrize("step", [whole_step, sharded_step], ids=["whole", "sharded"])
    @EVERY_MARGIN
    def test_loss_gradient_and_memory_are_those_of_one_rank(self, ranks, weights, world, step, name):
        self.compare(
            ranks, world, step, (faces(7), self.UNEVEN, in_a_cone(weights), "float32", name, unit64(faces(7).flip(0)))
        )

    @EVERY_STORE
    def test_in_every_store(self, ranks, weights, store):
        self.compare(
            ranks, 2, sharded_step, (faces(7), self.UNEVEN, weights, store, "arcface", unit64(faces(7).flip(0)))
        )

    @pytest.mark.parametrize("step", [whole_step, sharded_step], ids=["whole", "sharded"])
    def test_without_a_label_on_any_rank(self, ranks, weights, step):
        setting = (faces(7), self.NOBODY, weights, "int8", "curricularface", unit64(faces(7).flip(0)))
        self.compare(ranks, 2, step, setting)

    def test_with_fewer_classes_than_ranks(self, ranks, weights):
        setting = (faces(7), self.UNEVEN.clamp(max=1), weights[:2], "float32", "arcface", unit64(faces(7).flip(0)))
        self.compare(ranks, 3, sharded_step, setting)

    def test_with_fewer_rows_than_ranks(self, ranks, weights):
        setting = (faces(2), self.UNEVEN[:2], weights, "float32", "adaface", unit64(faces(2).flip(0)))
        self.compare(ranks, 3, sharded_step, setting)

    @staticmethod
    def compare(ranks, world, step, setting):
        losses, gradients, remembered, floor = whole_step(*setting)
        answers = ranks.run(world, step, *setting)
        assert_close(torch.stack([answer[0] for answer in answers]).mean(dim=0), losses)
        for loss, expected in enumerate(gradients):
            assert_close(torch.cat([answer[1][loss] for answer in answers]), expected, rtol=1e-6, atol=1e-9)
        for _, _, state, their_floor in answers:
            assert_close(state, remembered)
            assert_close(their_floor, floor)

    @pytest.mark.parametrize("world", [2, 3])
    @EVERY_STORE
    def test_each_holds_its_share_and_all_are_asked_for_a_row(self, ranks, weights, world, store):
        head, labels = FrozenHead(weights, store), torch.tensor([6, 0, 3, 3, 5])
        answers = ranks.run(world, look_up, weights, store, labels)
        assert [label for held, _, _ in answers for label in held] == list(range(CLASSES))
        assert [kept for _, kept, _ in answers] == [len(held) for held, _, _ in answers]
        assert_close(torch.cat([rows for _, _, rows in answers]), head.of(labels), rtol=0, atol=0)
