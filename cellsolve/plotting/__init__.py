"""Pictures of fits, of the space of neurons and of solves (needs matplotlib: ``pip install cellsolve[plot]``)."""

from __future__ import annotations

from cellsolve.plotting.fit import plot_fit, plot_surface
from cellsolve.plotting.neuron_space import plot_neuron_space
from cellsolve.plotting.progress import plot_comparison, plot_convergence, plot_path
from cellsolve.plotting.style import new_figure

__all__ = [
    "new_figure",
    "plot_comparison",
    "plot_convergence",
    "plot_fit",
    "plot_neuron_space",
    "plot_path",
    "plot_surface",
]
