"""The table on the terminal and the page."""

import re
from html.parser import HTMLParser

import pytest

from magnetite.evaluate import Example, Report, Shown, System
from magnetite.evaluate.html import html, write_html

QUERIES = [f"q{n}" for n in range(8)]


def system(name, values):
    scores = dict(zip(QUERIES, values, strict=True))
    return System(name, {"nDCG@10": scores, "R@100": dict.fromkeys(QUERIES, 1.0)})


@pytest.fixture
def report():
    return Report(
        "Tests & <claims>",
        "8 queries",
        [system("first", [0.0] * 8), system("second", [0.25] * 8), system("third", [0.0] * 8)],
        {"all": QUERIES, "unseen": QUERIES[:3], "seen": QUERIES[3:], "none": []},
        ["nDCG@10", "R@100"],
        ["What it means."],
        {"encoder": "a<b"},
        [Example("why?", {"first": [Shown(2, "A <title>", 0.5, relevant=True)]})],
    )


def test_each_system_is_compared_with_the_one_before_it(report):
    rows = list(report.rows())
    assert [row.group for row in rows] == ["all"] * 3 + ["unseen"] * 3 + ["seen"] * 3
    assert [row.change and round(row.change.mean, 6) for row in rows[:3]] == [None, 0.25, -0.25]
    assert rows[4].change.queries == 3


def test_the_table_shows_every_row_once(report):
    assert report.table().splitlines()[:4] == [
        "           nDCG@10  change [95 % interval]         p     R@100",
        "all (8 queries)",
        "  first     0.0000                                      1.0000",
        "  second    0.2500  +0.250 [+0.250, +0.250]  <0.0005    1.0000",
    ]


def test_one_system_alone_has_no_column_of_changes(report):
    alone = Report("t", "", report.systems[:1], {"all": QUERIES}, ["nDCG@10"])
    assert alone.table() == "          nDCG@10\nall (8 queries)\n  first    0.0000"
    assert "change" not in re.sub(r"<style>.*</style>", "", html(alone), flags=re.DOTALL)


class Loads(HTMLParser):
    """Collects whatever a browser would load, and checks that tags are closed."""

    def __init__(self):
        super().__init__()
        self.addresses, self.tags, self.open = [], set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in ("meta",):
            self.open.append(tag)
        names = ("src", "href", "data", "xlink:href")
        self.addresses += [v for k, v in attrs if k in names and not v.startswith("#")]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_escapes_what_it_shows(report, tmp_path):
    write_html(tmp_path / "new" / "report.html", report)
    page = (tmp_path / "new" / "report.html").read_text()
    loads = Loads()
    loads.feed(page)
    assert loads.addresses == []
    assert loads.open == []
    assert "svg" in loads.tags
    assert not {"script", "link", "img", "iframe"} & loads.tags
    assert "@import" not in page
    assert "url(http" not in page
    assert "Tests &amp; &lt;claims&gt;" in page
    assert "A &lt;title&gt;" in page
    assert "<claims>" not in page


def test_the_same_report_is_the_same_page(report):
    assert html(report) == html(report)


def test_plots_follow_the_theme(report):
    page = html(report)
    assert "var(--series-1)" in page
    assert not re.search(r"#[1-9]0[1-9]0[1-9]0", page)
