"""`--method`: losses by name, weighted, with knobs, summed."""

import pytest
from torch.testing import assert_close

from kd.errors import KnobRefused, UnknownName
from kd.losses import METHODS, Criterion, parse_method, unanchored
from kd.losses.cosine import Cosine
from kd.losses.proxyless import Proxyless
from tests.kd.losses.parts import inherited, setting, step, student_rows, unit_rows


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("proxyless", [("proxyless", 1.0, {})]),
        ("proxyless+cosine", [("proxyless", 1.0, {}), ("cosine", 1.0, {})]),
        ("0.3*proxyless + 2*l2", [("proxyless", 0.3, {}), ("l2", 2.0, {})]),
        ("1e-3*logits(temperature=2)", [("logits", 0.001, {"temperature": 2.0})]),
        ("margin( least=0.1, most=0.4 )", [("margin", 1.0, {"least": 0.1, "most": 0.4})]),
        ("adadistill(weighting=plain)+cosine", [("adadistill", 1.0, {"weighting": "plain"}), ("cosine", 1.0, {})]),
    ],
)
def test_methods_are_joined_by_plus_weighed_by_star_and_tuned_in_brackets(text, terms):
    assert [(term.name, term.weight, dict(term.knobs)) for term in parse_method(text)] == terms


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_asked_for_by_its_name(name):
    (term,) = parse_method(name)
    assert term.name == name


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("arcdistill", r"no such method: 'arcdistill'\. Choose from adadistill, bct, "),
        ("proxyless+", r"not a method: ''"),
        ("x*cosine", r"not a weight: 'x'"),
        ("nan*cosine", r"not a weight: 'nan'"),
        ("inf*cosine", r"not a weight: 'inf'"),
        ("-1*cosine", r"not a weight: '-1'"),
        ("cosine+2*cosine", r"named twice: 'cosine'"),
        ("margin(size=1)", r"margin has no such knob: 'size'\. Its knobs: least, most\."),
        ("cosine(x=1)", r"cosine has no such knob: 'x'\. Its knobs: none\."),
        ("logits(temperature)", r"logits has no such knob: 'temperature'"),
        ("logits(temperature=hot)", r"not a value for temperature: 'hot'\. Its default is 4\.0\."),
    ],
)
def test_what_is_no_method_is_refused_with_what_there_is(text, answer):
    with pytest.raises(UnknownName, match=answer):
        parse_method(text)


def test_a_criterion_reports_each_loss_and_their_weighted_sum():
    batch = step(student_rows(3), [0, 1, 2], unit_rows(3, seed=1))
    parts = Criterion(parse_method("0.5*proxyless+3*cosine"), setting())(batch)
    proxyless, cosine = Proxyless(setting())(batch), Cosine(setting())(batch)
    assert_close(parts, {"loss": 0.5 * proxyless + 3 * cosine, "proxyless": proxyless, "cosine": cosine})


def test_a_criterion_refuses_a_knob_that_its_loss_refuses():
    with pytest.raises(KnobRefused):
        Criterion(parse_method("logits(temperature=0)"), setting())


@pytest.mark.parametrize(("text", "answer"), [("rkd", True), ("rkd+none", True), ("rkd+cosine", False), ("l2", False)])
def test_a_sum_is_anchored_by_any_of_its_terms(text, answer):
    assert unanchored(parse_method(text)) is answer


def test_the_sum_has_the_slope_of_its_terms():
    theirs = unit_rows(2, seed=1)
    raw = student_rows(2).requires_grad_()
    Criterion(parse_method("3*l2"), setting(inherited(floor=0)))(step(raw, [0, 1], theirs))["loss"].backward()
    assert_close(raw.grad, 3 * (raw.detach() - theirs))  # of the mean of two squared distances
