"""Pages and docstrings whose code prints what they show."""

import contextlib
import doctest
import io
import re
from importlib import import_module
from pathlib import Path

import pytest

import cellsolve

DOCS = Path(__file__).parents[1] / "docs"
HOME = Path(cellsolve.__file__).parent
MODULES = [path for path in sorted(HOME.rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]


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


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_docstrings_print_what_they_show(path):
    name = ".".join(("cellsolve", *path.relative_to(HOME).with_suffix("").parts))
    failed, tried = doctest.testmod(import_module(name))
    assert tried and not failed
