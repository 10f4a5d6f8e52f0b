"""What both programs share: loss or interpolation, solver settings, and the way back to a measure."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cvxpy as cp
import numpy as np

from cellsolve.data import Array
from cellsolve.measure import SparseMeasure
from cellsolve.problem import Problem

#: options with which the objectives of the solvers agree to 1e-7 where the solver can; SCS is first order and is
#: asked for what it reaches in reasonable time
SOLVERS = {
    "CLARABEL": {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11, "tol_feas": 1e-11},
    "ECOS": {"abstol": 1e-11, "reltol": 1e-11, "feastol": 1e-11, "max_iters": 500},
    "SCS": {"eps_abs": 1e-9, "eps_rel": 1e-9, "max_iters": 200_000},
    "HIGHS": {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
}


@dataclass(eq=False)
class Program:
    """A convex program for the weights, as cvxpy objects.

    Attributes
    ----------
    problem : cvxpy.Problem
        Ready to solve, or to take apart: ``cp.Problem(program.objective, program.constraints + [...])``.
    fit : cvxpy.Variable
        Values f(x_i) of the network on the data, shape (n,) or (n, m).
    norm : cvxpy.Expression
        The penalty sum |c_k| w(theta_k).
    variables : dict
        The decision variables by name.
    """

    problem: cp.Problem
    fit: cp.Variable
    norm: cp.Expression
    variables: dict[str, cp.Variable]
    equality: cp.Constraint
    statement: Problem
    _atoms: Callable[[], tuple[Array, Array]] = field(repr=False)
    _predict: Callable[[Array], cp.Expression] | None = field(default=None, repr=False)

    @property
    def objective(self) -> cp.Minimize:
        """The objective."""
        return self.problem.objective

    @property
    def constraints(self) -> list[cp.Constraint]:
        """The constraints."""
        return self.problem.constraints

    def predict(self, X) -> cp.Expression:
        """Return f(X) as an affine expression of the variables (for the l1 program, whose neurons are fixed)."""
        if self._predict is None:
            raise ValueError(
                "the group lasso's neurons are variables, so f(X) off the data is not affine; use programs.l1."
            )
        return self._predict(X)

    def solve(self, solver: str = "CLARABEL", constraints: Sequence[cp.Constraint] = (), **options) -> float:
        """Solve, with extra `constraints` if any, and return the optimal value.

        Raises
        ------
        ValueError
            An unknown solver, an infeasible or an unbounded program.
        """
        if solver not in SOLVERS:
            raise ValueError(f"solver is {solver!r}; choose one of {', '.join(SOLVERS)}.")
        if solver not in cp.installed_solvers():
            raise ValueError(f"solver {solver} is not installed; pip install 'cellsolve[{solver.lower()}]' brings it.")
        problem = self.problem if not constraints else cp.Problem(self.objective, [*self.constraints, *constraints])
        with warnings.catch_warnings():  # cvxpy's own remarks on accuracy: the certificate decides, not the status
            warnings.simplefilter("ignore")
            try:
                problem.solve(solver=solver, **(SOLVERS[solver] | options))
            except cp.SolverError:
                try:  # not at that accuracy: at the solver's own
                    problem.solve(solver=solver, **options)
                except cp.SolverError as error:
                    raise ValueError(
                        f"{solver} gave no answer ({error}); try another solver, or rescale the data."
                    ) from error
        if problem.status in (cp.INFEASIBLE, cp.INFEASIBLE_INACCURATE):
            raise ValueError("the program is infeasible: no network on these neurons fulfils all constraints.")
        if problem.status in (cp.UNBOUNDED, cp.UNBOUNDED_INACCURATE):
            raise ValueError("the program is unbounded below; its infimum is not attained.")
        return float(problem.value)

    def atoms(self) -> tuple[Array, Array]:
        """Return neurons (K, D) and weights (K, m) after a solve, unfiltered."""
        return self._atoms()

    def coefficients(self) -> Array:
        """Return the coefficients (k, m) of the free part after a solve."""
        variable = self.variables.get("free")
        shape = (self.statement.basis.shape[1], self.statement.n_outputs)
        return np.zeros(shape) if variable is None else np.asarray(variable.value).reshape(shape)

    def measure(self) -> SparseMeasure:
        """Return the network after a solve, without the neurons whose weight is solver dust (1e-9 of the norm)."""
        theta, weights = self.atoms()
        size = np.linalg.norm(weights, axis=1) * self.statement.neuron_costs(theta)
        keep = size > 1e-9 * max(size.sum(), np.finfo(float).tiny)
        return self.statement.measure(theta[keep], weights[keep], self.coefficients())

    def alpha(self) -> Array:
        """Return the dual vector (n, m) after a solve: the multiplier of "fit = features @ weights + free part"."""
        value = np.asarray(self.equality.dual_value).reshape(self.statement.targets.shape)
        return value


def assemble(
    statement: Problem, features: cp.Expression, norm: cp.Expression, constraints, variables, atoms, predict=None
):
    """Build the Program from the network's values `features` (n, m) and `norm`, both expressions."""
    n, m = statement.targets.shape
    flat = statement.y.ndim == 1
    fit = cp.Variable(n if flat else (n, m), name="fit")
    values = features if not flat else cp.reshape(features, (n,), order="C")
    if statement.basis.shape[1]:
        free = cp.Variable((statement.basis.shape[1], m), name="free")
        variables = variables | {"free": free}
        part = statement.basis @ free
        values = values + (cp.reshape(part, (n,), order="C") if flat else part)
    equality = fit == values
    targets = statement.y
    if statement.interpolates:
        objective = cp.Minimize(norm)
        constraints = [equality, fit == targets, *constraints]
    else:
        loss = statement.loss.cvxpy(fit, targets) / n
        objective = cp.Minimize(loss + statement.lam * norm)
        constraints = [equality, *constraints]
    problem = cp.Problem(objective, constraints)
    return Program(problem, fit, norm, {"fit": fit} | variables, equality, statement, atoms, predict)
