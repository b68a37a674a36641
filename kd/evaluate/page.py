"""The report as one HTML page: readable in light and dark, without another file and without the network."""

import base64
import html
from collections.abc import Iterator, Sequence
from importlib.resources import files
from string import Template

from kd.evaluate.answer import answer, facts, title
from kd.evaluate.figures import Report
from kd.evaluate.plots import Plot
from kd.evaluate.sheet import Row, Sheet
from kd.evaluate.sheets import sheets


def as_page(report: Report, figures: Sequence[str]) -> str:
    """The page; figures: what `as_figure` gave."""
    page = Template(files("kd.evaluate").joinpath("page.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=html.escape(title(report)),
        answer="\n".join(f"<p>{html.escape(sentence)}</p>" for sentence in answer(report)),
        facts=html.escape(facts(report)),
        tables="\n".join(_table(sheet) for sheet in sheets(report)),
        figures=f'<h2>Plots</h2>\n<div class="plots">\n{"".join(figures)}</div>' if figures else "",
        failed=_failed(report),
    )


def _table(sheet: Sheet) -> str:
    name = html.escape(sheet.title)
    head = "".join(f'<th scope="col">{html.escape(word)}</th>' for word in sheet.head)
    rows = "\n".join(f"<tr>{''.join(_cells(row))}</tr>" for row in sheet.rows)
    return (
        f'<h2>{name}</h2>\n<div class="scroll" role="region" aria-label="{name}" tabindex="0"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>\n"
        f'<p class="note">{html.escape(sheet.note)}</p>'
    )


def _cells(row: Row) -> Iterator[str]:
    for place, shown in enumerate(row):
        interval = f"<small>{html.escape(shown.interval)}</small>" if shown.interval else ""
        yield (
            f'<th scope="row">{html.escape(shown.text)}</th>'
            if place == 0
            else f"<td>{html.escape(shown.text)}{interval}</td>"
        )


def as_figure(plot: Plot, svg: bytes) -> str:
    """A plot with its title, and in words for those who do not see it."""
    data = base64.b64encode(svg).decode()
    image = f'<img src="data:image/svg+xml;base64,{data}" alt="{html.escape(plot.says)}">'
    return f"<figure><figcaption>{html.escape(plot.title)}</figcaption>{image}</figure>\n"


def _failed(report: Report) -> str:
    if not report.failed:
        return ""
    lines = "".join(
        f"<li>{html.escape(photo)}: {html.escape(why)}</li>" for photo, why in sorted(report.failed.items())
    )
    count = f"<summary>{len(report.failed):,} photos</summary>"
    return f"<h2>Photos without a face</h2><details>{count}<ul>{lines}</ul></details>"
