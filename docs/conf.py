"""How Sphinx builds these pages: `make docs`, which counts every warning as an error."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this checkout, installed or not

from sphinx_gallery.sorting import ExplicitOrder

from cellsolve import __version__

project = "cellsolve"
author = "The cellsolve developers"
copyright = f"2026, {author}"
release = version = __version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "examples", "sg_execution_times.rst"]
templates_path = ["_templates"]

html_theme = "furo"
html_title = f"cellsolve {release}"

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings name the types
numpydoc_show_class_members = False  # the class template lists them

#: pages of the gallery in the order in which they are read: what the package does, then the papers
FEATURES = ["fit", "interpolation", "losses", "path_and_cv", "plane", "classification"]
FEATURES += ["cells", "certificate", "budget", "constraints"]
PAPERS = ["biases", "weight_decay", "compression", "label_noise", "weight_normalisation"]

#: for each name of the API, the pages of the gallery that use it
BACKREFERENCES = "gallery/backreferences"

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "within_subsection_order": ExplicitOrder([f"plot_{name}.py" for name in FEATURES + PAPERS]),
    "subsection_order": ExplicitOrder(["examples/features", "examples/papers"]),
    "abort_on_example_error": True,
    "capture_repr": (),  # only what is printed
    "image_srcset": ["2x"],
    "matplotlib_animations": False,
    "min_reported_time": 10**6,  # times change with every build
    "show_memory": False,
    "write_computation_times": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "doc_module": ("cellsolve",),
    "reference_url": {"cellsolve": None},  # names in the code are links to these pages
    "backreferences_dir": BACKREFERENCES,
}


def keep_bars(app, what, name, obj, options, lines):
    """Let |x| in a docstring be an absolute value: to reStructuredText it would be a substitution."""
    in_math = False
    for k, line in enumerate(lines):
        if line.lstrip().startswith(".. math::"):
            in_math = True
        elif in_math and line and not line.startswith(" "):
            in_math = False
        if not in_math:
            parts = re.split(r"(``.*?``|:\w+:`.*?`)", line)
            lines[k] = "".join(p if j % 2 else p.replace("|", r"\|") for j, p in enumerate(parts))


def name_pages(app, what, name, obj, options, lines):
    """End the docstring of what pages of the gallery use with a list of them."""
    pages = Path(app.srcdir, BACKREFERENCES, f"{name}.examples")
    if what in ("class", "function") and pages.exists() and pages.stat().st_size:
        lines += ["", ".. rubric:: In the gallery", "", f".. minigallery:: {name}", ""]


def setup(app):
    app.connect("autodoc-process-docstring", keep_bars, priority=900)  # after numpydoc
    app.connect("autodoc-process-docstring", name_pages, priority=950)
