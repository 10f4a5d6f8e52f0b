"""How Sphinx builds these pages: `make docs`, which counts every warning as an error."""

from importlib.metadata import version as installed_version

project = "cellsolve"
author = "The cellsolve developers"
copyright = f"2026, {author}"
release = version = installed_version("cellsolve")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]

html_theme = "furo"
html_title = f"cellsolve {release}"

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings name the types
numpydoc_show_class_members = False  # the class template lists them
