"""What is refused before any photo is read."""

import pytest

from kd.checks import checked
from kd.errors import DataUnusable, KnobRefused, SizeRefused
from kd.losses import METHODS


def test_every_rank_has_a_view_of_a_batch(config, monkeypatch):
    monkeypatch.setattr("kd.distributed.world", lambda: 8)
    checked(config(batch=8))
    with pytest.raises(SizeRefused, match=r"fewer views in a batch than ranks that share it: 7\. Give 8 or more\."):
        checked(config(batch=7))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_may_be_trained_with_its_own_knobs(config, name):
    alone = {"teacher": None} if name == "none" else {}
    needs = {
        "multistep": {"epoch_teachers": "run"},
        "subsets": {"subset_teachers": ("2-4=few", "5-=many")},
        "residual": {"backbone": "residual:slimresnet"},
    }
    checked(config(method=name, **alone, **needs.get(name, {})))


@pytest.mark.parametrize("method", ["cckd(gamma=-1)+cosine", "0.1*logits(temperature=0)", "adadistill(weighting=odd)"])
def test_a_knob_that_no_method_could_train_with_is_refused(config, method):
    with pytest.raises(KnobRefused, match="not a value for"):
        checked(config(method=method))


def test_subsets_may_overlap_as_long_as_each_is_left_somebody(config):
    kept = ("2-5=a", "8-12=b", "3-10=c")  # c: those of 6 and 7
    checked(config(method="subsets", subset_teachers=kept))
    with pytest.raises(DataUnusable, match="no person has so many photos: '3-4'"):
        checked(config(method="subsets", subset_teachers=(*kept, "3-4=d")))
