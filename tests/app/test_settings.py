"""Options, then the environment, then defaults."""

from pathlib import Path

import pytest

from app.errors import SettingsInvalid
from app.settings import read_settings


def test_what_was_given_outvotes_the_environment(monkeypatch):
    monkeypatch.setenv("HEIRLOOM_GALLERY", "/from/environment")
    monkeypatch.setenv("HEIRLOOM_PORT", "9000")
    settings = read_settings(gallery=Path("/given"), port=None)
    assert (settings.gallery, settings.port, settings.host) == (Path("/given"), 9000, "127.0.0.1")


def test_upload_limits_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("HEIRLOOM_MAX_BYTES", "1000")
    limits = read_settings(gallery="g").limits
    assert (limits.bytes, limits.side) == (1000, 16_384)


def test_a_gallery_must_be_named():
    with pytest.raises(SettingsInvalid, match=r"'gallery'\. Give --gallery, or set HEIRLOOM_GALLERY"):
        read_settings()


@pytest.mark.parametrize(
    ("name", "value"), [("port", 65_536), ("threads", 0), ("fpir", 1.0), ("fpir", 0.0), ("threshold", 2)]
)
def test_a_bad_option_is_named_with_its_value(name, value):
    with pytest.raises(SettingsInvalid, match=f"--{name}: .*{value}"):
        read_settings(gallery="g", **{name: value})


def test_a_bad_variable_is_named_with_its_value(monkeypatch):
    monkeypatch.setenv("HEIRLOOM_WAITING", "many")
    with pytest.raises(SettingsInvalid, match=r"HEIRLOOM_WAITING: .*'many'"):
        read_settings(gallery="g")
