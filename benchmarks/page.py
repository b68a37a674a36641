"""What every benchmark prints: a section of docs/benchmarks.md, with the machine that it ran on."""

from pathlib import Path

import click

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"

write_option = click.option("--write", is_flag=True, help="Put the section into docs/benchmarks.md.")


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines)


def publish(name: str, body: str, *, write: bool) -> None:
    """Print the section; with `write`, replace the one between the page's marks of that name."""
    print(body)
    if write:
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        before, found, rest = PAGE.read_text(encoding="utf-8").partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise click.ClickException(f"{PAGE} has no section {name}")
        PAGE.write_text(f"{before}{begin}{body}\n{end}{after}", encoding="utf-8")


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown processor")
