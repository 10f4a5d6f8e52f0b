"""Problem: what is to be solved, validated once. Everything downstream takes a Problem."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from cellsolve.data import Array, as_points, as_targets, distinct_rows, lift, sorting
from cellsolve.losses import Loss, as_loss
from cellsolve.measure import SparseMeasure
from cellsolve.potentials import Potential, as_potential
from cellsolve.units import Units, exact_scale, largest_exponent, power

if TYPE_CHECKING:
    from cellsolve.boxes import Boxes

#: what is known of the lifted points, and not of others
_OF_POINTS = ("boxes", "ordered")
FREE_PARTS = ("none", "constant", "affine")
#: residuals up to this share of the largest |y| are zero: a few hundred roundings, of sums that cancel
VANISHED = 2.0**-44
#: exponents of the largest entry up to which data need no other units to be computed with
PLAIN = 200


class Problem:
    r"""A shallow-ReLU training problem over networks of every width.

    Penalised (``lam > 0``) and minimum-norm interpolation (``lam=None``):

    .. math::
        \min_\nu \frac1n \sum_i \ell(f_\nu(x_i), y_i) + \lambda \int w\, d|\nu|
        \qquad\text{or}\qquad
        \min_\nu \int w\, d|\nu| \ \text{ s.t. } f_\nu(x_i) = y_i .

    Parameters
    ----------
    X : array-like, shape (n, d) or (n,)
    y : array-like, shape (n,) or (n, m)
        Targets; -1 and 1 for classification losses. With m outputs the loss is summed over outputs and a neuron
        costs ||c_k||_2 w(theta_k).
    lam : float or None
        Weight of the penalty, positive; None is interpolation.
    loss : str or Loss
    penalty : str or Potential
    free : {"none", "constant", "affine"}, optional
        What costs nothing: nothing, a constant, or x @ linear + offset (x @ linear without biases). The default is
        "none", and "constant" for ``slope`` with biases, whose constants cost nothing.
    fit_bias : bool
        Whether neurons have biases.

    Raises
    ------
    ValueError
        Input that is not finite, does not fit together, or makes the problem unbounded or infeasible.
    """

    X: Array
    y: Array
    lam: float | None
    loss: Loss
    penalty: Potential
    free: str
    fit_bias: bool
    #: lifted points (n, D), targets (n, m) and basis of the free part (n, k), in the units of the caller
    lifted: Array
    targets: Array
    basis: Array

    def __init__(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        lam: float | None = None,
        loss: str | Loss = "squared",
        penalty: str | Potential = "variation",
        free: str | None = None,
        fit_bias: bool = True,
    ) -> None:
        points = as_points(X)
        targets = as_targets(y, len(points))
        if not isinstance(fit_bias, (bool, np.bool_)):
            raise ValueError(f"fit_bias is {fit_bias!r}; pass True or False.")
        potential = as_potential(penalty)
        free = _free_part(free, potential, bool(fit_bias))
        the_loss = as_loss(loss)
        if the_loss.classification and lam is not None:
            wrong = np.argwhere(np.abs(targets) != 1)
            if len(wrong):
                raise ValueError(
                    f"y is {targets[tuple(wrong[0])]} at row {wrong[0][0]}; "
                    f"the {the_loss.name} loss needs labels -1 and 1."
                )
        lifted = lift(points, bool(fit_bias))
        self._set(
            X=points,
            y=targets,
            lam=_lam(lam),
            loss=the_loss,
            penalty=potential,
            free=free,
            fit_bias=bool(fit_bias),
            lifted=lifted,
            targets=targets.reshape(len(points), -1),
            basis=lifted if free == "affine" else np.ones((len(points), int(free == "constant"))),
        )
        if self.interpolates:
            _refuse_contradictions(points, self.targets, self.ordered if points.shape[1] == 1 else None)

    def _set(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a Problem is frozen; make another one to change {name}")

    def __repr__(self) -> str:
        goal = "interpolation" if self.interpolates else f"lam={self.lam:g}, loss={self.loss.name!r}"
        return (
            f"Problem(n={self.n}, d={self.X.shape[1]}, {goal}, penalty={self.penalty.name!r}, "
            f"free={self.free!r}, fit_bias={self.fit_bias})"
        )

    def variant(self, **attributes: Any) -> Problem:
        """Return a copy with some attributes changed, as they are: for solvers, which know what they do."""
        problem = object.__new__(Problem)
        problem._set(**{key: value for key, value in (vars(self) | attributes).items() if key not in _OF_POINTS})
        return problem

    def replace(self, **changes: Any) -> Problem:
        """Return the same problem with some arguments changed."""
        keys = ("lam", "loss", "penalty", "free", "fit_bias")
        arguments = {"X": self.X, "y": self.y} | {key: getattr(self, key) for key in keys} | changes
        return Problem(arguments.pop("X"), arguments.pop("y"), **arguments)

    # -- sizes ----------------------------------------------------------------------------------------------

    @property
    def n(self) -> int:
        """Number of points."""
        return len(self.lifted)

    @property
    def n_outputs(self) -> int:
        """Number of outputs m."""
        return self.targets.shape[1]

    @property
    def interpolates(self) -> bool:
        """Whether this is minimum-norm interpolation."""
        return self.lam is None

    @property
    def level(self) -> float:
        """What |phi_alpha| / w may not exceed: lam, or 1 for interpolation."""
        return 1.0 if self.lam is None else self.lam

    @cached_property
    def boxes(self) -> Boxes:
        """The lifted data in boxes, for sums over active points that are not part of a proof."""
        from cellsolve.boxes import Boxes  # numba is not light

        return Boxes(self.lifted)

    @cached_property
    def _sorted(self) -> tuple[np.ndarray, Array]:
        return sorting(self.X[:, 0])

    @property
    def order(self) -> np.ndarray:
        """The points (n,) of one input from left to right."""
        return self._sorted[0]

    @cached_property
    def ordered(self) -> Array:
        """The lifted points of one input in that order, without their last entry."""
        same = np.array_equal(self.lifted[:, 0], self.X[:, 0])
        return self._sorted[1] if same else self.lifted[self.order, 0]

    # -- primal ---------------------------------------------------------------------------------------------

    @property
    def one_facing(self) -> bool:
        """Whether theta and -theta are one neuron: relu(-t) = relu(t) - t with t free, and w(-theta) = w(theta)."""
        return self.free == "affine" and not self.penalty.depends_on_data

    def objective_of(self, fit: Array, norm: float) -> float:
        """Return the objective of a network with values `fit` (n, m) on the data and norm `norm`."""
        if self.interpolates:
            return float(norm)
        return float(np.sum(self.loss.value(fit, self.targets)) / self.n + self.level * norm)

    def objective(self, measure: SparseMeasure) -> float:
        """Return mean loss + lam * norm of the measure (the norm alone for interpolation)."""
        norm = measure.norm(self.penalty, self.X)
        return norm if self.interpolates else self.objective_of(self.values(measure), norm)

    def values(self, measure: SparseMeasure) -> Array:
        """Return f(X), shape (n, m)."""
        order = self._sorted if self.X.shape[1] == 1 else None
        return measure.values(self.X, order).reshape(self.targets.shape)

    @property
    def scale(self) -> float:
        """Loss of residuals that are rounding of y; 0 for interpolation, and for a loss that is positive everywhere."""
        if self.interpolates or np.any(self.loss.value(self.targets, self.targets) != 0):
            return 0.0
        return self.objective_of(self.targets - VANISHED * np.abs(self.targets).max() * np.sign(self.targets), 0.0)

    def residual(self, measure: SparseMeasure) -> float:
        """Return max |f(x_i) - y_i|."""
        return float(np.abs(self.values(measure) - self.targets).max())

    def neuron_costs(self, theta: Array) -> Array:
        """Return w of each row of `theta`."""
        return self.penalty.value(theta, self.lifted, self.fit_bias)

    def responses(self, theta: Array) -> Array:
        """Return sigma(<theta_k, x~_i>), shape (n, K)."""
        return np.maximum(self.lifted @ theta.T, 0.0)

    def network(self, theta: Array, weights: Array) -> Array:
        """Return sum_k weights_k sigma(<theta_k, x~_i>), shape (n, m), without a matrix of all responses."""
        if self.X.shape[1] > 1 or not self.fit_bias:
            return self.boxes.network(theta, weights)
        from cellsolve.kinks import network_on_line

        biases = theta[:, 1] * self.lifted[0, 1]
        return network_on_line(np.column_stack([theta[:, 0], biases]), weights, self.order, self.ordered)

    def measure(self, theta: Array, weights: Array, coefficients: Array) -> SparseMeasure:
        """Return the measure with these neurons (K, D), weights (K, m) and coefficients (k, m) of the basis."""
        d = self.X.shape[1]
        flat = self.y.ndim == 1
        offset = linear = None
        if self.free == "affine":
            linear = coefficients[:d]
        if self.basis.shape[1] > (d if linear is not None else 0):
            offset = coefficients[-1]
        if flat:
            weights = weights[:, 0]
            offset = None if offset is None else offset[0]
            linear = None if linear is None else linear[:, 0]
        return SparseMeasure(theta, weights, offset=offset, linear=linear, fit_bias=self.fit_bias)

    def refuse_unattained(self) -> None:
        """Raise ValueError where no minimum is attained: logistic loss and a free part that separates the classes."""
        if self.interpolates or self.loss.attained or not self.basis.shape[1]:
            return
        from scipy.optimize import linprog

        # scaled columns and rows only change the separating coefficients, not whether there are some
        basis = self.basis / np.abs(self.basis).max(axis=0).clip(min=np.finfo(float).tiny)
        for j in range(self.n_outputs):
            margins = self.targets[:, j : j + 1] * basis
            result = linprog(-margins.sum(axis=0), A_ub=-margins, b_ub=np.zeros(self.n), bounds=(-1, 1), method="highs")
            if result.status == 0 and -result.fun > 1e-7:
                raise ValueError(
                    f"y is separated by the free part ({self.free!r}), so the {self.loss.name} loss has no "
                    "minimum: it falls for ever as the free part grows. Use a smaller free part, or squared_hinge."
                )

    # -- dual -----------------------------------------------------------------------------------------------

    def dual_value(self, alpha: Array) -> float:
        """Return the dual objective in floating point; `alpha` (n, m) has to lie in the domain."""
        if self.interpolates:
            return float(np.vdot(alpha, self.targets))
        return float(np.sum(self.loss.dual(-self.n * alpha, self.targets)) / self.n)

    def dual_box(self) -> tuple[Array, Array]:
        """Return the box of alpha (n, m) that the conjugate allows."""
        if self.interpolates:
            return np.full_like(self.targets, -np.inf), np.full_like(self.targets, np.inf)
        low, high = self.loss.domain(self.targets)
        return -high / self.n, -low / self.n

    def dual_candidate(self, alpha: Array) -> Array:
        """Return the nearest point of {alpha in the box, B^T alpha = 0}, up to rounding; shape (n, m)."""
        low, high = self.dual_box()
        columns = [_project(alpha[:, j], self.basis, low[:, j], high[:, j]) for j in range(alpha.shape[1])]
        return np.column_stack(columns)

    # -- units ----------------------------------------------------------------------------------------------

    def unscaled(self) -> tuple[Problem, Units] | None:
        """Return the problem as it is, with units of 1, or None where squares of its data may leave float64."""
        sizes = [largest_exponent(self.X), largest_exponent(self.targets)]
        if max(abs(size) for size in sizes) > PLAIN:
            return None
        D, k = self.lifted.shape[1], self.basis.shape[1]
        units = Units(0, 0, np.zeros(k, dtype=int), 1.0, self.penalty.data_degree, np.zeros(D, dtype=int))
        return self, units

    def normalized(self) -> tuple[Problem, Units]:
        """Return the same problem with data and targets of size about 1, and the way back.

        Only powers of two are used, so nothing is rounded.

        Raises
        ------
        ValueError
            The scales are so far apart that float64 cannot hold both.
        """
        groups = self.penalty.unit_columns(self.lifted.shape[1], self.fit_bias)
        columns = np.empty(self.lifted.shape[1], dtype=int)
        for group in groups:
            columns[group] = largest_exponent(self.lifted[:, group])
        x = int(columns[groups[0][0]])
        y = 0 if self.loss.classification and not self.interpolates else largest_exponent(self.targets)
        basis = np.array([largest_exponent(column) for column in self.basis.T], dtype=int)
        loss_scale = 1.0 if self.interpolates or y == 0 else self.loss.scaled(power(y))[1]
        penalty_scale = power(y - x + x * self.penalty.data_degree)
        value = penalty_scale if self.interpolates else loss_scale
        least = power(-900)  # below it the certificate would be rounded among the subnormal numbers
        if not (least < min(loss_scale, penalty_scale) and max(loss_scale, penalty_scale) < 1 / least):
            raise ValueError("X and y have scales that float64 cannot hold together; rescale X or y.")
        units = Units(x, y, basis, value, self.penalty.data_degree, columns - x)
        return self.in_units(units), units

    def in_units(self, units: Units) -> Problem:
        """Return the same problem in these units."""
        loss = self.loss if self.interpolates or units.y == 0 else self.loss.scaled(power(units.y))[0]
        penalty_scale = power(units.y - units.x + units.x * units.data_degree)
        lam = None if self.lam is None else self.lam * penalty_scale / units.value
        if not (0 < units.value < np.inf) or (lam is not None and not (0 < lam < np.inf)):
            raise ValueError("X, y and lam have scales that float64 cannot hold together; rescale X or y.")
        targets = exact_scale(self.targets, -units.y)
        return self.variant(
            y=exact_scale(self.y, -units.y) if self.targets.size != self.y.size else targets.reshape(self.y.shape),
            lam=lam,
            loss=loss,
            lifted=exact_scale(self.lifted, -(units.columns + units.x)),
            targets=targets,
            basis=exact_scale(self.basis, -units.basis),
        )


def _lam(lam: Any) -> float | None:
    if lam is None:
        return None
    try:
        value = np.nan if isinstance(lam, (bool, np.bool_)) else float(lam)
    except (TypeError, ValueError):
        value = np.nan
    if not (0 < value < np.inf):
        given = repr(lam) if np.isnan(value) else value
        raise ValueError(f"lam is {given}; pass a positive finite number, or None for interpolation.")
    return value


def _free_part(free: Any, potential: Potential, bias: bool) -> str:
    if free is None:
        return "constant" if potential.free_constant(bias) else "none"
    if free not in FREE_PARTS:
        raise ValueError(f"free is {free!r}; choose one of {', '.join(FREE_PARTS)}.")
    if free == "none" and potential.free_constant(bias):
        raise ValueError(
            f"free is 'none', but penalty '{potential.name}' leaves biases unpenalised, so constants cost nothing; "
            "use free='constant' (the default) or 'affine'."
        )
    return free


def _refuse_contradictions(points: Array, targets: Array, ordered: Array | None) -> None:
    if ordered is not None and (ordered[1:] > ordered[:-1]).all():  # no repeated points of one input
        return
    first, groups = distinct_rows(points)
    leader = first[groups]
    wrong = np.flatnonzero(np.any(targets != targets[leader], axis=1))
    if len(wrong):
        i = int(wrong[0])
        raise ValueError(
            f"y differs at rows {int(leader[i])} and {i}, whose rows of X are equal; no function interpolates both. "
            "Average the repeated points, or pass lam."
        )


#: an entry nearer to its bound than this share of the box is put there: what an interior-point method leaves between
AT_BOUND = 1e-7
#: what a projection leaves of an entry, as a share of the largest before it, that is rounding: 0 is in the box too
TINY = 2.0**-50
#: last shrink towards 0, which the box contains: n times a rounded 1 / n may exceed 1 by two roundings
INSIDE = 1 - 2.0**-50


def _project(alpha: Array, basis: Array, low: Array, high: Array) -> Array:
    """Nearest point to alpha in {low <= . <= high, basis^T . = 0}: linear algebra, or a QP if that leaves it."""
    if not basis.shape[1]:
        return np.clip(alpha, low, high) * INSIDE
    left, size, _ = np.linalg.svd(basis, full_matrices=False)
    left = left[:, size > 1e-13 * size[0]]  # a numerical null space: what it misses is corrected in rationals
    point = alpha - left @ (left.T @ alpha)
    if not np.all((low <= point) & (point <= high)):
        clipped = np.clip(point, low, high)
        if np.abs(clipped - point).max() > AT_BOUND * np.abs(point).max():
            clipped = _project_by_qp(alpha, left, low, high)
        point = _balance(clipped, left, low, high)
    return np.where(np.abs(point) <= TINY * np.abs(alpha).max(), 0.0, point) * INSIDE


def _balance(point: Array, orthonormal: Array, low: Array, high: Array) -> Array:
    """Put entries at their bounds exactly and spread what is left of B^T alpha over the others."""
    width = AT_BOUND * np.abs(point).max()
    point = np.where(point < low + width, low, np.where(point > high - width, high, point))
    for _ in range(len(point)):
        free = (point > low) & (point < high)
        left_over = orthonormal.T @ point
        if not free.any() or np.abs(left_over).max() <= 1e-15 * np.abs(point).max():
            break
        fix = np.linalg.lstsq(orthonormal[free].T, left_over, rcond=None)[0]
        point[free] -= fix
        if np.array_equal(np.clip(point, low, high), point):
            break
        point = np.clip(point, low, high)
    return point


def _project_by_qp(alpha: Array, orthonormal: Array, low: Array, high: Array) -> Array:
    import clarabel
    from scipy import sparse

    n = len(alpha)
    scale = max(np.abs(alpha).max(), np.finfo(float).tiny)
    upper, lower = np.flatnonzero(np.isfinite(high)), np.flatnonzero(np.isfinite(low))
    eye = sparse.identity(n, format="csr")
    rows = sparse.vstack([sparse.csr_matrix(orthonormal.T), eye[upper], -eye[lower]], format="csc")
    bound = np.concatenate([np.zeros(orthonormal.shape[1]), high[upper] / scale, -low[lower] / scale])
    cones = [clarabel.ZeroConeT(orthonormal.shape[1]), clarabel.NonnegativeConeT(len(upper) + len(lower))]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-12
    solver = clarabel.DefaultSolver(sparse.identity(n, format="csc"), -alpha / scale, rows, bound, cones, settings)
    return np.clip(np.array(solver.solve().x) * scale, low, high)


def as_problem(X: Any, y: ArrayLike | None = None, **statement: Any) -> Problem:
    """Return `X` where it is a Problem, else the Problem of `X`, `y` and the keywords that are not None.

    Raises
    ------
    ValueError
        A Problem together with anything else, or X without y.
    """
    if isinstance(X, Problem):
        given = sorted(name for name, value in ({"y": y} | statement).items() if value is not None)
        if given:
            raise ValueError(
                f"{', '.join(given)} given together with a Problem, which states them; use problem.replace(...)."
            )
        return X
    if y is None:
        raise ValueError("y is missing; pass X and y, or a Problem.")
    return Problem(X, y, **{name: value for name, value in statement.items() if value is not None})
