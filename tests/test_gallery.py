"""The gallery's scripts: names that exist, links that lead somewhere, and (slow) each of them run."""

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
SCRIPTS = sorted((DOCS / "examples").rglob("plot_*.py"))
scripts = pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)


def imported(tree):
    """Return what the script imports from cellsolve, by the name that it has there."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name.split(".")[0] == "cellsolve":
                    module = importlib.import_module(name.name)
                    names[name.asname or "cellsolve"] = module if name.asname else importlib.import_module("cellsolve")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cellsolve":
            module = importlib.import_module(node.module)
            names |= {name.asname or name.name: getattr(module, name.name) for name in node.names}
    return names


def attributes(source):
    """Look up all that is imported from cellsolve, and chains such as cs.programs.l1; return how many there are."""
    tree = ast.parse(source)
    names = imported(tree)
    count = len(names)
    for node in ast.walk(tree):
        chain = []
        while isinstance(node, ast.Attribute):
            chain.insert(0, node.attr)
            node = node.value
        if not chain or not isinstance(node, ast.Name) or node.id not in names:
            continue
        value = names[node.id]
        for attribute in chain:
            value = getattr(value, attribute)
        count += 1
    return count


def test_there_are_scripts():
    assert len(SCRIPTS) >= 10
    assert len({path.name for path in SCRIPTS}) == len(SCRIPTS)  # pages are ordered by name


@scripts
def test_begins_with_a_title(path):
    lines = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()
    assert len(lines) > 3
    assert re.fullmatch(r"=+", lines[1])
    assert len(lines[1]) == len(lines[0])
    assert lines[3].strip()  # what the page shows, which the gallery's index repeats


@scripts
def test_names_exist(path):
    pytest.importorskip("matplotlib", reason="matplotlib is an extra")
    source = path.read_text()
    if "cellsolve.training" in source:
        pytest.importorskip("torch", reason="torch is an extra")
    assert attributes(source) > 0


@pytest.mark.parametrize(
    "wrong",
    [
        "import cellsolve as cs\ncs.solve_all(1)",
        "import cellsolve\ncellsolve.programs.l2",
        "from cellsolve.plotting import plot_all",
    ],
)
def test_a_name_that_is_gone_is_found(wrong):
    with pytest.raises(AttributeError):
        attributes(wrong)


@scripts
def test_links_lead_to_pages(path):
    links = re.findall(r":doc:`(?:[^`<]*<)?/([^`>]+)>?`", path.read_text())
    if path.parent.name == "features":
        assert links, "a page of the features ends with what to read next"
    for link in links:
        made = link.startswith("gallery/")  # from a script of the examples
        target = DOCS / "examples" / f"{link.removeprefix('gallery/')}.py" if made else DOCS / f"{link}.md"
        assert target.is_file() or (made and link.endswith("index"))


@pytest.mark.slow
@scripts
def test_runs(path, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is an extra")
    pytest.importorskip("torch", reason="torch is an extra")
    variables = os.environ | {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, str(path)], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.strip()
