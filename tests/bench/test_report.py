"""The page of a run in a real browser, and its parts."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gateway.bench.figures import figure
from gateway.bench.report.chart import Series, bars, nice_step
from gateway.bench.report.page import page
from gateway.bench.result import Pricing, read_run
from gateway.config import ConfigError
from tests.bench.runs import run, stage
from tests.browser import Page, browser

RUN = run(stage(1), stage(4, 0.5, failed={"3043": 3}, waited={"3040": 2}))
HOSTILE = "@cf/<script>alert(1)</script>&"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


class Outline(HTMLParser):
    """The elements and texts of a document."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_browser_shows_the_page_and_asks_for_nothing_else(tab: Page, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page(RUN, run(stage(1, 2.0), stage(16, 3.0), model=HOSTILE)), encoding="utf-8")
    tab.open(file.as_uri())
    assert tab.complaints == []
    assert [url for url in tab.asked if not url.startswith("data:")] == [file.as_uri()]
    assert tab.value("document.title") == "@cf/test/chat: gateway bench"
    assert tab.value("document.querySelectorAll('svg').length") == 4
    # Three numbers of connections, of which each run has two, with a p50 and a p99 in each: bars have a height.
    heights = "[...document.querySelectorAll('svg')[1].querySelectorAll('rect')].map(bar => bar.getBBox().height)"
    legend, drawn = 4, 8
    assert len([height for height in tab.value(heights) if height > 0]) == legend + drawn
    for width in (400, 1200):
        tab.resize(width, 800)
        assert tab.value("document.documentElement.scrollWidth <= window.innerWidth"), f"wider than {width} pixels"


def test_names_are_text_and_never_elements() -> None:
    outline = Outline(page(run(stage(1), model=HOSTILE)))
    assert "script" not in outline.tags
    assert HOSTILE in outline.text


def test_the_page_hides_neither_faults_nor_waiting() -> None:
    text = Outline(page(RUN)).text
    assert "With 4 connections requests failed: 3 × 3043." in text
    assert "2 × 3040" in text


def test_the_cost_and_its_break_even_are_told_with_what_they_rest_on() -> None:
    text = Outline(page(RUN)).text
    # Of the stage with 4 connections: 10 neurons a second at 0.011 USD per 1,000, and 65 W at 0.3 USD.
    for told in ("0.396 USD an hour", "9.50 USD a day", "0.0195 USD an hour (65 W at 0.3 USD per kWh)", "4.92 %"):
        assert told in text
    assert "not deducted" in text
    assert "Cloudflare's own speed was not measured" in text


def test_what_makes_figures_doubtful_is_told() -> None:
    busy = RUN.model_copy(update={"about": RUN.about.model_copy(update={"load_before": 1.5})})
    starved = run(stage(1, client_cores=0.95))
    assert "1.50 programs waited for the 2 threads" in Outline(page(busy)).text
    assert "this client kept 0.950 cores busy" in Outline(page(starved)).text
    for doubt in ("programs waited", "this client kept"):
        assert doubt not in Outline(page(RUN)).text


def test_cloudflare_beside_a_run_is_not_said_to_be_missing() -> None:
    subject = RUN.subject.model_copy(update={"url": "https://api.cloudflare.com", "is_here": False})
    text = Outline(page(RUN, RUN.model_copy(update={"subject": subject}))).text
    assert "Measured at https://api.cloudflare.com" in text
    assert "own speed was not measured" not in text


def test_a_run_without_a_price_says_why() -> None:
    text = Outline(
        page(run(stage(1, neurons=None, neurons_per_s=None), pricing=Pricing(why_unknown="for a reason")))
    ).text
    assert "is not known: for a reason" in text
    assert "a day at Cloudflare" not in text


def test_a_run_is_read_as_it_was_kept(tmp_path: Path) -> None:
    RUN.write(tmp_path / "run.json")
    assert read_run(tmp_path / "run.json") == RUN


@pytest.mark.parametrize(("content", "said"), [("{", "Invalid JSON"), ('{"format": 2}', "format")])
def test_a_file_that_is_no_run_is_refused(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ConfigError, match=rf"run\.json is no run .*{said}"):
        read_run(tmp_path / "run.json")


@pytest.mark.parametrize(
    ("largest", "step"), [(0, 1), (1.77, 0.5), (3.57, 1), (4, 1), (4.01, 1.5), (177, 50), (0.081, 0.025), (9e6, 2.5e6)]
)
def test_lines_are_at_round_values_and_the_last_is_above_all_bars(largest: float, step: float) -> None:
    assert nice_step(largest) == pytest.approx(step)
    assert nice_step(largest) * 4 >= largest


def test_a_bar_that_is_not_there_is_no_bar_of_height_zero() -> None:
    chart = bars("Rate", ["1", "4"], "connections", [Series("a", [2.0, None])], figure)
    assert len(list(chart.iter("rect"))) == 1
    assert chart[0].text == "Rate. a: 2.00 at 1"
