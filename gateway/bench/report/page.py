"""The page of a run: key figures, cost, plots, tables, what was assumed, and with what it was made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import resources

from gateway.bench import words
from gateway.bench.columns import Column, columns, heading, line, ratios
from gateway.bench.cost import busiest
from gateway.bench.figures import duration, figure
from gateway.bench.report.element import Node, element, html
from gateway.bench.report.plots import plots
from gateway.bench.result import Run

# The browser itself refuses whatever the page might ask for.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(run: Run, other: Run | None = None) -> str:
    """The document, complete in itself; with `other`, an earlier run stands beside this one."""
    found = columns(run.stages)
    runs = [run] if other is None else [run, other]
    body = element(
        "body",
        element("h1", run.subject.model),
        element("p", words.headline(run), class_="dim"),
        element("div", *_cards(run), class_="cards"),
        _list(words.warnings(run), "warnings"),
        element("h2", "Cost"),
        *(element("p", text) for text in words.cost_lines(run)),
        element("h2", "By the number of connections"),
        element("div", *plots(runs), class_="charts"),
        _table(heading(found), [line(stage, found) for stage in run.stages]),
        *_comparison(run, other, found),
        element("h2", "What to know"),
        _list(words.assumptions(run, other), ""),
        element("h2", "Made with"),
        _about(run),
    )
    return html(element("html", _head(run), body, lang="en"))


def _head(run: Run) -> Node:
    style = resources.files("gateway.bench.report").joinpath("style.css").read_text(encoding="utf-8")
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("link", rel="icon", href="data:,"),
        element("title", f"{run.subject.model}: gateway bench"),
        element("style", style),
    )


def _cards(run: Run) -> Iterator[Node]:
    most = max(run.stages, key=lambda stage: stage.answers_per_s)
    least = min(run.stages, key=lambda stage: stage.connections)
    yield _card(figure(most.answers_per_s), f"answers/s with {words.connections(most.connections)}")
    if least.latency_s is not None:
        yield _card(duration(least.latency_s.p50), f"latency p50 with {least.connections}")
    if least.first_s is not None:
        yield _card(duration(least.first_s.p50), f"{words.first_name(run.stages)} p50 with {least.connections}")
    if most.tokens_per_s is not None:
        yield _card(figure(most.tokens_per_s), f"tokens/s with {most.connections}")
    if most.audio_per_s is not None:
        yield _card(f"{figure(most.audio_per_s)} ×", f"real time with {most.connections}")
    if (bill := busiest(run)) is not None:
        yield _card(words.usd(bill.usd_per_day), "a day at Cloudflare for the same")


def _card(value: str, name: str) -> Node:
    return element("div", element("b", value), element("span", name, class_="dim"), class_="card")


def _comparison(run: Run, other: Run | None, found: Sequence[Column]) -> Iterator[Node]:
    if other is None:
        return
    theirs = columns(other.stages)
    yield element("h2", "The other run")
    yield from (element("p", text, class_="dim") for text in words.comparison(run, other))
    yield element("p", element("code", other.about.command))
    yield _table(heading(theirs), [line(stage, theirs) for stage in other.stages])
    yield element("h2", "This run divided by that one")
    names = ["connections", *(f"{column.name} ({column.better})" for column in found)]
    yield _table(names, [[str(count), *cells] for count, cells in ratios(run, other).items()])


def _table(names: Sequence[str], lines: Iterable[Sequence[str]]) -> Node:
    head = element("tr", *(element("th", name) for name in names))
    rows = [element("tr", *(element("td", cell) for cell in cells)) for cells in lines]
    return element("div", element("table", element("thead", head), element("tbody", *rows)), class_="scroll")


def _list(texts: Iterable[str], kind: str) -> Node | None:
    items = [element("li", text) for text in texts]
    return element("ul", *items, class_=kind) if items else None


def _about(run: Run) -> Node:
    about = run.about
    facts: dict[str, Node | str] = {
        "command": element("code", about.command),
        "gateway": about.version + (f", commit {about.commit[:12]}" if about.commit else ""),
        **about.machine,
        "threads": f"{about.threads}, load average {about.load_before:g} before the run",
        "versions": ", ".join(f"{name} {version}" for name, version in about.versions.items()),
        "first answer": f"after {duration(run.subject.first_answer_s)}, with loading if the model was not loaded",
    }
    return element("dl", *(node for name, fact in facts.items() for node in (element("dt", name), element("dd", fact))))
