"""Options, then the environment, then the file, then defaults."""

from pathlib import Path

import pytest

from app.errors import SettingsInvalid
from app.settings import read_settings


@pytest.fixture
def file(tmp_path):
    """Write a file of settings."""

    def write(text):
        path = tmp_path / "heirloom.toml"
        path.write_text(text)
        return path

    return write


def test_what_was_given_outvotes_the_environment(monkeypatch):
    monkeypatch.setenv("HEIRLOOM_GALLERY", "/from/environment")
    monkeypatch.setenv("HEIRLOOM_PORT", "9000")
    settings = read_settings(gallery=Path("/given"), port=None)
    assert (settings.gallery, settings.port, settings.host) == (Path("/given"), 9000, "127.0.0.1")


def test_the_environment_outvotes_the_file_and_the_file_the_defaults(monkeypatch, file):
    config = file('gallery = "people.heirloom"\nport = 1\nwaiting = 1\nrate = 1\n')
    monkeypatch.setenv("HEIRLOOM_WAITING", "2")
    monkeypatch.setenv("HEIRLOOM_RATE", "2")
    settings = read_settings(config, rate=3)
    assert (settings.port, settings.waiting, settings.rate, settings.burst) == (1, 2, 3, 200)


def test_the_environment_may_name_the_file_and_an_option_another(monkeypatch, file, tmp_path):
    monkeypatch.setenv("HEIRLOOM_CONFIG", str(file('gallery = "one"')))
    assert read_settings().gallery == Path("one")
    other = tmp_path / "other.toml"
    other.write_text('gallery = "two"')
    assert read_settings(other).gallery == Path("two")


def test_upload_limits_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("HEIRLOOM_MAX_BYTES", "1000")
    limits = read_settings(gallery="g").limits
    assert (limits.bytes, limits.side) == (1000, 16_384)


def test_a_list_is_written_with_commas_in_a_variable_and_as_a_list_in_a_file(monkeypatch, file):
    monkeypatch.setenv("HEIRLOOM_PROXIES", "10.0.0.1, fd00::/8")
    settings = read_settings(file('gallery = "g"\norigins = ["https://a.example", "https://b.example:8443"]'))
    assert settings.proxies == ("10.0.0.1/32", "fd00::/8")
    assert settings.origins == ("https://a.example", "https://b.example:8443")


def test_an_empty_variable_is_none(monkeypatch):
    monkeypatch.setenv("HEIRLOOM_PORT", "")
    assert read_settings(gallery="g").port == 8000


def test_a_gallery_must_be_named():
    with pytest.raises(SettingsInvalid, match=r"'gallery'\. Give --gallery, or set HEIRLOOM_GALLERY"):
        read_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [("port", 65_536), ("threads", 0), ("threads", 2**31 - 1), ("fpir", 1.0), ("fpir", 0.0), ("threshold", 2)],
)
def test_a_bad_option_is_named_with_its_value(name, value):
    with pytest.raises(SettingsInvalid, match=f"--{name}: .*{value}"):
        read_settings(gallery="g", **{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("waiting", "many"),
        ("upload_seconds", "0"),
        ("rate", "-1"),
        ("log_format", "xml"),
        ("hosts", "https://faces.example"),
        ("hosts", "*"),
        ("origins", "*"),
        ("origins", "faces.example"),
        ("origins", "https://faces.example/path"),
        ("proxies", "*"),
        ("proxies", "nginx"),
        ("proxies", "10.0.0.1/8"),
    ],
)
def test_a_bad_variable_is_named_with_its_value(monkeypatch, name, value):
    variable = f"HEIRLOOM_{name.upper()}"
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsInvalid) as refused:
        read_settings(gallery="g")
    assert refused.value.what.startswith(f"{variable}: ")
    assert (refused.value.value, refused.value.remedy) == (value, f"Correct {variable}.")


@pytest.mark.parametrize("value", ["inf", "nan"])
@pytest.mark.parametrize(
    "name", ["rate", "patience", "stuck_after", "linger", "upload_seconds", "expiry_every", "fpir", "threshold"]
)
def test_a_number_is_finite(monkeypatch, file, name, value):
    with pytest.raises(SettingsInvalid, match=rf"^{name} in {file('')}: input should be"):
        read_settings(file(f'gallery = "g"\n{name} = {value}'))
    monkeypatch.setenv(f"HEIRLOOM_{name.upper()}", value)
    with pytest.raises(SettingsInvalid, match=rf"^HEIRLOOM_{name.upper()}: input should be"):
        read_settings(gallery="g")


def test_a_bad_value_in_the_file_is_named_with_the_file(file):
    config = file('gallery = "g"\nport = "eighty"')
    with pytest.raises(SettingsInvalid, match=rf"port in {config}: .*'eighty'"):
        read_settings(config)


def test_an_unknown_name_in_the_file_is_refused_with_the_one_that_was_meant(file):
    with pytest.raises(SettingsInvalid, match=r"'pacience'. Did you mean patience\?"):
        read_settings(file('gallery = "g"\npacience = 1'))


def test_a_misspelt_variable_is_refused_with_the_one_that_was_meant(monkeypatch):
    monkeypatch.setenv("HEIRLOOM_PACIENCE", "1")
    with pytest.raises(SettingsInvalid, match=r"'HEIRLOOM_PACIENCE'. Did you mean HEIRLOOM_PATIENCE\?"):
        read_settings(gallery="g")


@pytest.mark.parametrize(
    "variable", ["HEIRLOOM_CACHE", "HEIRLOOM_API_KEY", "HEIRLOOM_SERVICE_HOST", "HEIRLOOM_PORT_8000_TCP"]
)
def test_variables_of_others_are_left_alone(monkeypatch, variable):
    monkeypatch.setenv(variable, "theirs")
    assert read_settings(gallery="g").port == 8000


@pytest.mark.parametrize("text", ["port: 8000", "port = ", '[serve]\ngallery = "g"', "gallery = 'g'\ngallery = 'g'"])
def test_what_is_no_file_of_settings_is_refused(file, text):
    with pytest.raises(SettingsInvalid, match=r"heirloom\.toml"):
        read_settings(file(text))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingsInvalid, match=r"none\.toml'\. Give a file"):
        read_settings(tmp_path / "none.toml")
