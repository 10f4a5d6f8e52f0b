"""Pages whose code prints what they show."""

import contextlib
import io
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", ["cells.md", "compression.md"])
def test_code_prints_what_the_page_shows(name):
    page = (DOCS / name).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", page, re.DOTALL)
    assert blocks
    names: dict = {}
    for code, shown in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        lines, expected = ([line.rstrip() for line in text.splitlines()] for text in (printed.getvalue(), shown))
        assert lines == expected
