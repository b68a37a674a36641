"""The documentation tells the truth about fields, addresses, codes, settings and the container."""

import io
import json
import logging
import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from app.doctor import Patient, examined
from app.envelope import STATUS
from app.logs import JsonLines
from app.metrics import Meters
from app.schemas import ErrorAnswer, IdentifyAnswer, ModelsAnswer
from app.schemas_gallery import EnrolmentAnswer, ReceiptAnswer
from app.settings import Settings, read_settings
from app.states import EngineState
from app.verdicts import GateAnswer, ShadowAnswer
from tests.app.parts import BLUE, GREEN, RED, photo
from tests.app.test_faces import VIOLET
from tests.app.test_openapi import document

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text()
OPERATE = (ROOT / "docs" / "operate.md").read_text()
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)


def section(heading):
    """What stands under a heading of operate.md."""
    return OPERATE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_each_example_is_a_whole_answer():
    kinds = (
        IdentifyAnswer, EnrolmentAnswer, ReceiptAnswer, ModelsAnswer, GateAnswer, ShadowAnswer, ErrorAnswer
    )  # fmt: skip
    for kind, example in zip(kinds, EXAMPLES, strict=True):
        kind.model_validate_json(example, extra="forbid")


@pytest.mark.parametrize("path", list(document()["paths"]))
def test_each_address_is_there(path):
    """Once: those of a collection are the same under another prefix, which the page says."""
    assert path.replace("/v1/collections/{collection}/", "/v1/") in PAGE


def test_each_command_works_as_it_stands(url, tmp_path):
    """In order, in one shell; but for those that start programs or want a model that is not here."""
    for name, colour in (("photo", RED), ("ada1", BLUE), ("ada2", VIOLET), ("stranger", GREEN)):
        (tmp_path / f"{name}.jpg").write_bytes(photo(colour, kind="JPEG"))
    lines = "".join(block for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if "dlib" not in block)
    script = f'curl() {{ command curl -sS --fail-with-body "$@" && echo; }}\n{lines}'
    ran = subprocess.run(
        ["bash", "-eux", "-c", script.replace("http://127.0.0.1:8000", url)],
        cwd=tmp_path, env=os.environ | {"HEIRLOOM_API_KEY": "none"}, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(ran.stdout.splitlines()) == lines.count("curl ")


@pytest.mark.parametrize(("kind", "status"), list(STATUS.items()), ids=lambda value: getattr(value, "code", ""))
def test_each_code_is_there_with_its_status(kind, status):
    codes = {kind.code, *(below.code for below in kind.__subclasses__())}
    rows = [row for row in PAGE.splitlines() if row.startswith(f"| {status} |")]
    assert any(f"`{code}`" in row for row in rows for code in codes)


def test_the_table_of_settings_has_each_with_its_default():
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? ?\| .+ \|$", section("Settings"), re.MULTILINE)
    assert dict(rows) == {name: default(field) for name, field in Settings.model_fields.items()}


def default(field):
    """As TOML writes it; nothing where there is none."""
    given = field.get_default()
    return "" if field.is_required() or given is None else json.dumps(given)


@pytest.mark.parametrize("example", re.findall(r"```toml\n(.*?)```", OPERATE, re.DOTALL))
def test_a_file_of_settings_reads_as_it_stands(tmp_path, example):
    (tmp_path / "heirloom.toml").write_text(example)
    assert read_settings(tmp_path / "heirloom.toml").gallery


def test_a_line_of_the_log_has_the_fields_that_lines_have():
    (example,) = re.findall(r"```json\n(.*?)```", OPERATE, re.DOTALL)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    told = json.loads(example)
    fields = {name: told[name] for name in ("request_id", "caller", "method", "route", "status", "ms")}
    handler.emit(
        logging.makeLogRecord({"name": told["logger"], "levelname": "INFO", "msg": told["message"], "fields": fields})
    )
    assert json.loads(stream.getvalue()) | {"at": told["at"]} == told


def rows_under(heading):
    """The names in the first column of the table under a heading of operate.md."""
    firsts = re.findall(r"^\| (`[^|]+`) \|", section(heading), re.MULTILINE)
    return [name for first in firsts for name in re.findall(r"`(\w+)`", first)]


def measured(engine):
    """Families that a service counts, by the name under which one asks for them: a counter's ends in _total."""
    meters = Meters()
    meters.look_at(EngineState(engine))
    suffix = {"counter": "_total", "info": "_info"}
    families = [family for family in meters.registry.collect() if family.name.startswith("heirloom_")]
    return {family.name + suffix.get(family.type, ""): family for family in families}


def test_the_table_of_metrics_has_each(engine):
    assert sorted(rows_under("Monitoring")) == sorted(measured(engine))


def test_alerts_speak_of_metrics_that_there_are(engine):
    known = measured(engine)
    known |= {
        f"{name}_{part}": each
        for name, each in known.items()
        for part in ("bucket", "count")
        if each.type == "histogram"
    }
    rules = yaml.safe_load(re.findall(r"```yaml\n(groups:.*?)```", OPERATE, re.DOTALL)[0])["groups"][0]["rules"]
    for rule in rules:
        assert rule["annotations"]["summary"], rule
        assert set(re.findall(r"heirloom_\w+", rule["expr"])) <= set(known), rule


def test_alerts_speak_of_codes_and_addresses_that_there_are():
    told = section("Monitoring")
    codes = {code for codes in re.findall(r'code=~"(.*?)"', told) for code in codes.split("|")}
    assert codes <= set(re.findall(r"`(\w+)`", PAGE))
    assert set(re.findall(r'route="(.*?)"', told)) <= set(document()["paths"])


def test_the_table_of_checks_has_each(gallery_path, models, monkeypatch, tmp_path):
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path))  # who runs this may have no home
    monkeypatch.setattr("app.doctor.open_detector", lambda **_: None)
    patient = Patient(None, gallery_path, str(models["teacher"]), {}, datetime.now(UTC))
    assert [finding.check for finding in examined(patient)] == rows_under("Is all in order: doctor")


def test_the_compose_file_and_the_proxys_configuration_speak_of_the_same_things():
    compose = (ROOT / "compose.yaml").read_text()
    template = (ROOT / "deploy" / "nginx.conf.template").read_text()
    filled = set(re.findall(r"\$\{(HEIRLOOM_\w+)\}", template))
    assert filled == set(re.findall(r"^      (HEIRLOOM_(?!PROXIES)\w+):", compose, re.MULTILINE))
    (proxies,) = re.findall(r"HEIRLOOM_PROXIES: (\S+)", compose)
    assert f"ipv4_address: {proxies}}}" in compose
