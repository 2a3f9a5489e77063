"""The README says what is true."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def blocks(page):
    """The Python of a page of ours."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_search_of_the_readme_finds_the_magnet(capsys):
    found = {}
    exec(blocks("README.md")[0], found)
    assert "Magnets attract iron" in capsys.readouterr().out.splitlines()[0]
    assert len(found["index"]) == 3


def test_the_collection_of_the_readme_finds_the_magnet(capsys):
    exec(blocks("README.md")[1], {})
    assert capsys.readouterr().out.startswith("Magnets attract iron. 0.")


def test_the_page_on_collections_finds_the_magnet(capsys):
    exec(blocks("docs/collection.md")[0], {})
    assert "iron {'tags': ['physics'], 'year': 2021}" in capsys.readouterr().out


def test_the_judge_of_the_readme_finds_its_best_in_twelve_calls(capsys):
    [example] = [block for block in blocks("README.md") if "CurIndex" in block]
    exec(example, {})
    assert capsys.readouterr().out.startswith("['Magnets lift iron.', ")


def test_the_page_on_judges_finds_glass(capsys):
    exec(blocks("docs/cur.md")[0], {})
    assert capsys.readouterr().out.startswith("['glass that breaks'")
