"""Rivals differ in their method and in what its recipe asks for, never in photos, teacher or budget."""

import pytest

from faces.errors import ModelUnknown
from kd.compare.plan import RIVALS, Plan, Rival, both_ways, checked, parse_rival
from kd.errors import PlanRefused, SizeRefused, UnknownName
from kd.losses import METHODS, unanchored


@pytest.mark.parametrize(
    ("text", "rival"),
    [
        ("proxyless", Rival("proxyless", "proxyless")),
        ("L2=l2", Rival("L2", "l2")),
        ("0.1*none+cckd(order=3)", Rival("0.1*none+cckd(order=3)", "0.1*none+cckd(order=3)")),
        ("CCKD = none+cckd(order=3,gamma=0.4)", Rival("CCKD", "none+cckd(order=3,gamma=0.4)")),
        (
            "EKD=none+ekd; sampler=half-balanced; margin-size=0.4",
            Rival("EKD", "none+ekd", {"sampler": "half-balanced", "margin-size": "0.4"}),
        ),
        ("l2;", Rival("l2", "l2")),
    ],
)
def test_a_rival_is_a_label_a_method_and_settings(text, rival):
    assert parse_rival(text) == rival


def test_a_recipe_tells_no_folders_of_the_machine_that_it_was_made_on():
    settings = {"subset_teachers": "2-4=/home/ada/few,5-=runs/many", "sampler": "class-uniform"}
    assert Rival("a", "subsets", settings).recipe == "subsets; subset_teachers=2-4=few,5-=many; sampler=class-uniform"


@pytest.mark.parametrize("text", ["", "=", "L2=", "L2=l2; sampler", "L2=l2; sampler="])
def test_what_is_no_rival_is_refused(text):
    with pytest.raises(PlanRefused, match="not a rival"):
        parse_rival(text)


def test_a_run_has_its_rivals_method_and_settings_and_its_seed(config):
    rival = Rival("margin", "none", {"sampler": "class-uniform", "margin-size": "0.4", "subset_teachers": "2-4=A,5-=B"})
    made = Plan(config(), (rival,), (7,)).config(rival, 7)
    assert (made.distillation.method, made.distillation.seed) == ("none", 7)
    assert (made.viewing.sampler, made.distillation.margin_size) == ("class-uniform", 0.4)
    assert made.distillation.subset_teachers == ("2-4=A", "5-=B")
    assert made.optimisation == config().optimisation


@pytest.mark.parametrize("name", ["epochs", "batch", "views", "teacher", "seed", "photos_each", "photos", "colour"])
def test_what_would_not_be_fair_is_refused(config, name):
    rival = Rival("greedy", "l2", {name: "7"})
    with pytest.raises(PlanRefused, match="not a setting that rivals may differ in"):
        checked(Plan(config(), (rival,), (0,)))


def test_a_value_of_another_kind_is_refused(config):
    with pytest.raises(PlanRefused, match=r"not a value for margin_size: 'wide'\. The others have 0\.2"):
        checked(Plan(config(), (Rival("wide", "none", {"margin_size": "wide"}),), (0,)))


@pytest.mark.parametrize(
    ("name", "value"), [("weight-decay", "-1"), ("rate", "nan"), ("clip", "inf"), ("scale", "0"), ("mixup", "2")]
)
def test_a_number_that_kd_train_would_not_take_is_refused(config, name, value):
    with pytest.raises(PlanRefused, match=f"not a value for {name.replace('-', '_')}: '{value}'"):
        checked(Plan(config(), (Rival("odd", "none", {name: value}),), (0,)))


@pytest.mark.parametrize(
    ("rivals", "seeds", "error"),
    [
        ((Rival("a", "l2"), Rival("A", "cosine")), (0,), PlanRefused),
        ((Rival("+", "l2"),), (0,), PlanRefused),
        ((), (0,), PlanRefused),
        ((Rival("a", "l2"),), (), PlanRefused),
        ((Rival("a", "l2"),), (1, 1), PlanRefused),
        ((Rival("a", "telepathy"),), (0,), UnknownName),
        ((Rival("a", "cckd(colour=2)"),), (0,), UnknownName),
        ((Rival("a", "l2"), Rival("b", "l2", {"backbone": "vgg"})), (0,), UnknownName),
        ((Rival("a", "l2"), Rival("b", "l2", {"width": "nan"})), (0,), SizeRefused),
        ((Rival("a", "l2"), Rival("b", "l2", {"sampler": "odd"})), (0,), UnknownName),
        ((Rival("a", "subsets", {"subset_teachers": "2-4=nobody"}),), (0,), ModelUnknown),
    ],
)
def test_a_plan_that_would_fail_hours_from_now_is_refused_at_once(config, rivals, seeds, error):
    with pytest.raises(error):
        checked(Plan(config(), rivals, seeds))


def test_a_relational_method_is_compared_alone_and_anchored():
    assert both_ways([Rival("L2", "l2"), Rival("RKD", "none+rkd"), Rival("nobody", "none")]) == (
        Rival("L2", "l2"),
        Rival("RKD", "none+rkd"),
        Rival("RKD + cosine", "none+rkd+cosine"),
        Rival("nobody", "none"),
    )


def test_one_seed_of_everybody_comes_before_the_next(config):
    one, other = Rival("one", "l2"), Rival("other", "cosine")
    assert Plan(config(), (one, other), (0, 1)).runs() == [(one, 0), (other, 0), (one, 1), (other, 1)]


def test_the_rivals_one_gets_unasked_are_every_method_that_a_teacher_is_enough_for(config):
    checked(Plan(config(), both_ways(RIVALS), (0, 1, 2)))
    named = {term.name for rival in RIVALS for term in rival.terms}
    assert set(METHODS) - named == {"multistep", "subsets", "residual"}
    assert {rival.label for rival in RIVALS if unanchored(rival.terms)} == {"nobody", "CCKD", "RKD", "EKD"}
