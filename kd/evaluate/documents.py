"""A report as files: JSON for programs, Markdown for repositories, PNG for slides, one HTML page to open."""

from dataclasses import asdict
from pathlib import Path

from pydantic_core import to_json

from faces.console import progress
from faces.files import write_whole
from kd.evaluate.answer import answer, facts, title
from kd.evaluate.figures import Report
from kd.evaluate.page import as_figure, as_page
from kd.evaluate.plots import plots
from kd.evaluate.sheet import Sheet
from kd.evaluate.sheets import sheets


def write_report(report: Report, folder: Path) -> Path:
    """Write report.json, report.md, report.html and plots/*.png; the path of the page. An older report is replaced.

    The page needs no other file and no network. A few seconds, most of it for the plots.
    """
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    drawn = plots(report)
    write_whole(folder / "report.json", as_json(report))
    write_whole(folder / "report.md", as_markdown(report).encode())
    with progress("drawing", total=len(drawn)) as advance:
        figures = []
        for plot in drawn:
            png, svg = plot.render()
            write_whole(folder / "plots" / f"{plot.key}.png", png)
            figures.append(as_figure(plot, svg))
            advance(1)
    write_whole(folder / "report.html", as_page(report, figures).encode())
    return folder / "report.html"


def as_json(report: Report) -> bytes:
    """Every figure, interval and curve; what was not measured is null."""
    return to_json({"answer": answer(report), **asdict(report)}, indent=2, inf_nan_mode="null") + b"\n"


def as_markdown(report: Report) -> str:
    """The answer and the tables, with intervals in brackets."""
    verdict, *rest = answer(report)
    parts = [f"# {title(report)}", f"**{verdict}** {' '.join(rest)}", facts(report)]
    parts += [f"## {sheet.title}\n\n{markdown_table(sheet)}\n\n{sheet.note}" for sheet in sheets(report)]
    return "\n\n".join(parts) + "\n"


def markdown_table(sheet: Sheet) -> str:
    """The rows alone, without title and note."""
    rows = [[f"{one.text} ({one.interval})" if one.interval else one.text for one in row] for row in sheet.rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in [list(sheet.head), ["---"] * len(sheet.head), *rows])
