"""The README says what is true."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_the_search_of_the_readme_finds_the_magnet(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    [block] = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    found = {}
    exec(block, found)  # the page is ours
    assert "Magnets attract iron" in capsys.readouterr().out.splitlines()[0]
    assert len(found["index"]) == 3
