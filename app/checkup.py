"""`app doctor`: will a service start here, and what is in its way?"""

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from app.doctor import Finding, Patient, examined
from faces.console import echo_json


@click.command()
@click.option("--gallery", type=click.Path(path_type=Path), help="The gallery file that is to be served.")
@click.option("--model", help="The model to serve it with.  [default: the one it was last served with]")
@click.option(
    "--config", type=click.Path(path_type=Path), help="A TOML file of settings.  [default: the one in HEIRLOOM_CONFIG]"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
@click.pass_context
def doctor(ctx: click.Context, gallery: Path | None, model: str | None, config: Path | None, as_json: bool) -> None:
    """Check what a service needs, a line for each, with what to do; exit code 1 when something is in its way.

    Settings are read as app serve reads them. Nothing is changed, and it can be run beside a service.
    """
    findings = []
    for finding in examined(Patient(config, gallery, model, os.environ, datetime.now(UTC))):
        findings.append(finding)
        if not as_json:
            click.echo(_line(finding))
    if as_json:
        echo_json(findings)
    if any(finding.level == "error" for finding in findings):
        ctx.exit(1)


def _line(finding: Finding) -> str:
    said = f"{finding.said}. {finding.remedy}" if finding.remedy else finding.said
    return f"{finding.level:<8} {finding.check:<10} {said}"
