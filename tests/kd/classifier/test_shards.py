"""Partial-FC shards of arcface_torch, in each of the forms that it has saved them in."""

import numpy as np
import pytest
import torch

from kd.classifier import class_means, inherit
from kd.classifier.shards import read_shards
from kd.errors import ClassifierRefused

ERAS = {
    "rank:{}_softmax_weight.pt": lambda rows: rows,
    "rank_{}_softmax_weight.pt": lambda rows: rows,
    "softmax_fc_gpu_{}.pt": lambda rows: {"weight": rows},
    "checkpoint_gpu_{}.pt": lambda rows: {
        "epoch": 7,
        "state_dict_backbone": {"conv1.weight": torch.zeros(2, 2)},
        "state_dict_softmax_fc": {"weight": rows},
        "state_optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
    },
}


def rows(count=27, dim=8):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(1))


def write_shards(folder, weights, ranks, name="softmax_fc_gpu_{}.pt"):
    """As partial FC shares classes among ranks: the first C % R have one more."""
    for rank, part in enumerate(np.array_split(weights.numpy(), ranks)):
        torch.save(ERAS[name](torch.from_numpy(part)), folder / name.format(rank))


@pytest.mark.parametrize("name", ERAS)
def test_the_shards_of_every_era_join_in_the_numeric_order_of_their_ranks(tmp_path, name):
    write_shards(tmp_path, rows(), 12, name)  # rank 10 comes after 9, not after 1
    (tmp_path / "rank_0_softmax_weight_mom.pt").write_bytes(b"momentum is no weight")
    (tmp_path / "backbone.pth").write_bytes(b"nor is the backbone")
    assert (read_shards(tmp_path) == rows().numpy()).all()


def test_a_shard_saved_by_an_old_torch_is_read(tmp_path):
    torch.save(rows(), tmp_path / "rank_0_softmax_weight.pt", _use_new_zipfile_serialization=False)
    assert (read_shards(tmp_path) == rows().numpy()).all()


@pytest.mark.parametrize("lost", [0, 3])
def test_a_missing_rank_is_refused_with_its_number(tmp_path, lost):
    write_shards(tmp_path, rows(), 5)
    (tmp_path / f"softmax_fc_gpu_{lost}.pt").unlink()
    with pytest.raises(ClassifierRefused, match=f"of 5 ranks, there is no shard of rank {lost}"):
        read_shards(tmp_path)


def test_ranks_of_unequal_width_are_refused_with_both(tmp_path):
    write_shards(tmp_path, rows(), 3)
    torch.save({"weight": torch.ones(9, 5)}, tmp_path / "softmax_fc_gpu_1.pt")
    with pytest.raises(ClassifierRefused, match="rank 1 has rows of 5 values, rank 0 of 8"):
        read_shards(tmp_path)


def test_ranks_that_no_run_would_have_shared_so_are_refused_with_both_counts(tmp_path):
    write_shards(tmp_path, rows(), 3)
    torch.save({"weight": torch.ones(4, 8)}, tmp_path / "softmax_fc_gpu_1.pt")
    with pytest.raises(ClassifierRefused, match="rank 0 has 9 rows; 22 shared among 3 give it 8"):
        read_shards(tmp_path)


def test_the_shards_of_two_kinds_of_run_are_refused(tmp_path):
    for name in list(ERAS)[2:]:
        write_shards(tmp_path, rows(), 2, name)
    with pytest.raises(ClassifierRefused, match="2 kinds of name"):
        read_shards(tmp_path)


def test_a_shard_without_its_rows_is_refused_with_what_was_looked_for(tmp_path):
    torch.save({"state_dict_backbone": {}}, tmp_path / "checkpoint_gpu_0.pt")
    with pytest.raises(ClassifierRefused, match="a shard without state_dict_softmax_fc/weight"):
        read_shards(tmp_path)


def test_a_truncated_shard_is_refused_with_its_path(tmp_path):
    write_shards(tmp_path, rows(), 3)
    shard = tmp_path / "softmax_fc_gpu_2.pt"
    shard.write_bytes(shard.read_bytes()[:300])
    with pytest.raises(ClassifierRefused, match=r"does not read as class weights .*softmax_fc_gpu_2\.pt"):
        read_shards(tmp_path)


def test_a_student_inherits_shards_with_and_without_names(faces, embedder, tmp_path):
    means = class_means(faces, embedder).weights
    write_shards(tmp_path, torch.from_numpy(means[::-1].copy()), 2)
    (tmp_path / "names.txt").write_text("\n".join(faces.names[::-1]))
    assert (inherit(faces, embedder, tmp_path, tmp_path).weights == means).all()
    (tmp_path / "names.txt").unlink()
    with pytest.raises(ClassifierRefused, match="accuracy"):
        inherit(faces, embedder, tmp_path, tmp_path)
