"""Solution: the measure, its certificate, and how they were found."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from numpy.typing import ArrayLike

from cellsolve.certificate import Certificate
from cellsolve.data import Array
from cellsolve.measure import SparseMeasure


class Status(StrEnum):
    """How a solve ended; `sentence` says what it means and what to do."""

    OPTIMAL = "optimal"
    UNPROVEN = "unproven"
    STALLED = "stalled"
    TIME_LIMIT = "time_limit"
    INTERRUPTED = "interrupted"

    @property
    def sentence(self) -> str:
        """The status for a reader."""
        return _SENTENCES[self]


_SENTENCES = {
    Status.OPTIMAL: "The gap is proven to be at most tol.",
    Status.UNPROVEN: (
        "No better neuron was found, but not every cell was looked at: the gap is what is proven so far. "
        "Fewer rows, or a larger max_cells, allow a proof; with up to 12 coordinates a max_time allows a better bound."
    ),
    Status.STALLED: (
        "The gap stopped shrinking above tol, or an interpolant still misses the data, at the accuracy of the convex "
        "solver. "
        "Rescale the data, choose a larger lam, or accept the gap shown."
    ),
    Status.TIME_LIMIT: "max_time ran out; the measure and the bound are the best so far.",
    Status.INTERRUPTED: "Interrupted; the measure and the bound are the best so far.",
}


@dataclass(frozen=True)
class Round:
    """One round of a solve: seconds since the start, objective, best lower bound, neurons or cells in the program."""

    time: float
    objective: float
    lower_bound: float
    cells: int


@dataclass(frozen=True, eq=False)
class Solution:
    """A solved problem.

    Attributes
    ----------
    measure : SparseMeasure
        Normalized, merged and pruned.
    certificate : Certificate
    objective, lower_bound, gap : float
        gap = (objective - lower_bound) / |objective|, proven.
    status : Status
        A string; its ``sentence`` explains it.
    residual : float
        max |f(x_i) - y_i|: how exactly an interpolant interpolates.
    history : list of Round
    time : float
        Seconds.
    """

    measure: SparseMeasure
    certificate: Certificate
    status: Status
    residual: float
    history: list[Round] = field(default_factory=list)
    time: float = 0.0
    method: str = ""

    @property
    def objective(self) -> float:
        """Objective of the measure."""
        return self.certificate.objective

    @property
    def lower_bound(self) -> float:
        """Proven: no network of any width has a lower objective."""
        return self.certificate.lower_bound

    @property
    def gap(self) -> float:
        """(objective - lower_bound) / |objective|."""
        return self.certificate.gap

    @property
    def lam(self) -> float | None:
        """The penalty's weight, None for interpolation."""
        return self.certificate.lam

    def predict(self, X: ArrayLike) -> Array:
        """Return f(X)."""
        return self.measure.predict(X)

    def __repr__(self) -> str:
        certificate = self.certificate
        goal = "interpolation" if certificate.lam is None else f"lam={certificate.lam:.4g}, {certificate.loss} loss"
        bias = "" if certificate.fit_bias else ", no biases"
        lines = [
            f"Solution: {self.status}. {self.status.sentence}",
            f"  problem      {goal}, penalty {certificate.penalty}, free part {certificate.free}{bias}",
            f"  objective    {self.objective:.10g}",
            f"  lower bound  {self.lower_bound:.10g}   for networks of any width",
            f"  gap          {self.gap:.2e}",
            f"  neurons      {self.measure.n_neurons}",
            f"  solved by    {self.method} in {self.time:.2f} s"
            + (f", {len(self.history)} rounds" if self.history else ""),
        ]
        if certificate.lam is None:
            lines.insert(5, f"  residual     {self.residual:.2e}   max |f(x_i) - y_i|")
        return "\n".join(lines)
