"""The page on learning says what is true."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "learning.md"


def test_the_blocks_of_the_page_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, found)  # the page is ours
    assert found["outcome"].losses[-1] < found["outcome"].losses[0]
    assert found["losses"][-1] < found["losses"][0]
    assert (tmp_path / "run" / "log.jsonl").exists()
