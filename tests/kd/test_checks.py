"""What is refused before any photo is read."""

import pytest

from kd.checks import checked
from kd.errors import SizeRefused


def test_every_rank_has_a_view_of_a_batch(config, monkeypatch):
    monkeypatch.setattr("kd.distributed.world", lambda: 8)
    checked(config(batch=8))
    with pytest.raises(SizeRefused, match=r"fewer views in a batch than ranks that share it: 7\. Give 8 or more\."):
        checked(config(batch=7))
