"""The independent verifier of a dual certificate: exact rational arithmetic, and no code of the solvers.

A certificate claims a bound on the optimal value over networks of every width. What it takes to believe it is the data,
the list of cells, which is checked to be complete, and this module with `verify_suprema`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context, Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellsolve.data import Array, as_points, as_targets, lift
from cellsolve.verify_cones import EXACT, replay
from cellsolve.verify_integers import Ints, Refused, solve, to_integers
from cellsolve.verify_line import prove_line
from cellsolve.verify_suprema import prove_supremum

#: the parameters that each loss and penalty must come with, or may
_LOSSES: dict[str, set[str]] = {
    "squared": set(),
    "absolute": set(),
    "huber": {"delta"},
    "quantile": {"q"},
    "logistic": set(),
    "hinge": set(),
    "squared_hinge": set(),
}
_LABELS = ("logistic", "hinge", "squared_hinge")
_PENALTIES: dict[str, set[str]] = {"variation": set(), "slope": set(), "l1": set(), "label_noise": {"full"}}


@dataclass(frozen=True)
class Claim:
    r"""What a certificate claims of data (X, y).

    Let alpha' = alpha + delta with delta supported on `rows` the exact rational vector for which :math:`B^T\alpha'=0`,
    B the basis of the free part on the data. Then

    .. math::
        \sup_\theta \frac{\|\phi_{\alpha'}(\theta)\|_2}{w(\theta)} \le \texttt{supremum},
        \qquad \phi_\alpha(\theta) = \sum_i \alpha_i \max(\langle\theta, \tilde x_i\rangle, 0) ,

    and with :math:`\kappa = \min(1, \lambda/\texttt{supremum})` the dual objective
    :math:`-\frac1n\sum_i \ell^*(-n\kappa\alpha'_i, y_i)` is at least `lower_bound`, so that no network of any width
    has a smaller objective. For interpolation :math:`\kappa = 1/\texttt{supremum}` and the dual objective is
    :math:`\kappa\,\alpha'\cdot y`.

    Parameters
    ----------
    alpha : array, shape (n,) or (n, m)
        The shape of y.
    rows : tuple of int, or of tuples of int
        Linearly independent rows of B, as many as its rank; the same for all outputs, or a tuple for each.
    supremum, lower_bound : float
    lam : float or None
        None is interpolation.
    loss : {"squared", "absolute", "huber", "quantile", "logistic", "hinge", "squared_hinge"}
    loss_params : dict
        ``delta`` of huber, ``q`` of quantile.
    penalty : {"variation", "slope", "label_noise", "l1"}
    penalty_params : dict
        ``full`` of label_noise, False if it is not there. On the boundary of a cell the full penalty is the smallest
        of the cells that meet there.
    free : {"none", "constant", "affine"}
    fit_bias : bool
    tree, scales, centre : bytes, tuple of int, tuple of float, optional
        Branch and bound over cones that shows the supremum (`cellsolve.verify_cones.replay`); without it all cells are
        looked at.
    """

    alpha: NDArray[np.float64]
    rows: tuple[int, ...] | tuple[tuple[int, ...], ...]
    supremum: float
    lower_bound: float
    lam: float | None = None
    loss: str = "squared"
    loss_params: Mapping[str, Any] = field(default_factory=dict)
    penalty: str = "variation"
    penalty_params: Mapping[str, Any] = field(default_factory=dict)
    free: str = "none"
    fit_bias: bool = True
    tree: bytes | None = None
    scales: tuple[int, ...] = ()
    centre: tuple[float, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """Whether a claim was proven, and if not, why."""

    ok: bool
    reason: str
    method: str = EXACT

    def __bool__(self) -> bool:
        return self.ok


def verify(claim: Claim, X: ArrayLike, y: ArrayLike, *, progress: Callable[[int, int], Any] | None = None) -> Verdict:
    """Prove or refuse a claim about the data, exactly.

    One input and output with biases has a formula, in integers. Else a tree of cones is replayed, in floats with bounds
    on their rounding where it is long. Without one every cell is looked at, up to 300,000 of them.

    Parameters
    ----------
    claim : Claim
    X : array-like, shape (n, d) or (n,)
    y : array-like, shape (n,) or (n, m)
    progress : callable, optional
        Called now and then as ``progress(cells_done, cells)``.

    Returns
    -------
    Verdict
        A wrong claim, or one that could not be decided, is not an exception but ``ok=False`` with a reason.

    Examples
    --------
    >>> from cellsolve.verify import Claim, verify
    >>> claim = Claim(alpha=[-1.0, 1.0], rows=(0,), supremum=1.0, lower_bound=1.0, penalty="slope", free="constant")
    >>> verify(claim, [0.0, 1.0], [0.0, 1.0]).ok
    True
    """
    try:
        method = _prove(claim, X, y, progress)
    except Refused as refusal:
        return Verdict(False, str(refusal))
    except (ArithmeticError, ValueError) as error:  # floats, which only guess, cannot hold the numbers
        return Verdict(False, f"could not be decided: {error}")
    return Verdict(True, "proven", method)


def _prove(claim: Claim, X: ArrayLike, y: ArrayLike, progress: Callable[[int, int], Any] | None) -> str:
    try:
        points = as_points(X)
        targets = as_targets(y, len(points))
        alpha = np.array(claim.alpha, dtype=np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise Refused(str(error)) from error
    if alpha.shape != targets.shape:
        raise Refused(f"alpha has shape {alpha.shape} and y {targets.shape}")
    if not np.isfinite(alpha).all():
        raise Refused("alpha is not finite")
    numbers = (claim.supremum, claim.lower_bound, *(() if claim.lam is None else (claim.lam,)))
    if not all(map(_is_number, numbers)):
        raise Refused("supremum, lower_bound and lam have to be numbers")
    if not 0 <= claim.supremum < math.inf:
        raise Refused(f"supremum is {claim.supremum}, no finite bound of a norm")
    if claim.lam is not None and not 0 < claim.lam < math.inf:
        raise Refused(f"lam is {claim.lam}; it has to be positive and finite, or None")
    if not isinstance(claim.fit_bias, (bool, np.bool_)):
        raise Refused("fit_bias is neither True nor False")
    loss_params = _parameters("loss", claim.loss, claim.loss_params, _LOSSES)
    penalty_params = _parameters("penalty", claim.penalty, claim.penalty_params, _PENALTIES)
    exact, denominator = _corrected(alpha.reshape(len(points), -1), claim, lift(points, bool(claim.fit_bias)))
    # the cheap half first
    value = _dual_value(exact, denominator, targets.reshape(len(points), -1), claim, loss_params)
    if not value >= claim.lower_bound:
        raise Refused(f"the dual objective is below the claimed {claim.lower_bound!r}")
    statement: dict[str, Any] = {"fit_bias": bool(claim.fit_bias), "penalty": claim.penalty, "progress": progress}
    full = bool(penalty_params.get("full", False))
    if points.shape[1] == 1 and claim.fit_bias and exact.shape[1] == 1:
        prove_line(exact[:, 0], denominator, claim.supremum, points[:, 0], penalty=claim.penalty, full=full)
        return EXACT
    if claim.tree is not None:
        tree = claim.tree, claim.scales, claim.centre
        return replay(exact, denominator, claim.supremum, points, *tree, symmetric=claim.free == "affine", **statement)
    prove_supremum(exact, denominator, claim.supremum, points, full=full, **statement)
    return EXACT


def _is_number(value: object) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value == value)


def _parameters(kind: str, name: Any, params: Any, known: dict[str, set[str]]) -> dict[str, Any]:
    if not isinstance(name, str) or name not in known:
        raise Refused(f"{kind} {name!r} is not known")
    given = set(params) if isinstance(params, Mapping) else {None}
    required = known[name] - {"full"}
    if not required <= given <= known[name]:
        raise Refused(f"{kind} {name} needs parameters {sorted(required)}, not {params!r}")
    if not isinstance(params.get("full", False), (bool, np.bool_)):
        raise Refused("full is neither True nor False")
    wrong = [key for key in required if not _is_number(params[key]) or not 0 < params[key] < math.inf]
    if wrong or params.get("q", 0) >= 1:
        raise Refused(f"{kind} {name} has impossible parameters {params!r}")
    return dict(params)


def _corrected(alpha: Array, claim: Claim, lifted: Array) -> tuple[Ints, int]:
    """Return alpha' as integers over a common denominator: B^T alpha' = 0 exactly."""
    n = len(lifted)
    integers, denominator = to_integers(alpha)
    if claim.free == "none":
        basis = np.zeros((n, 0), dtype=object)
    elif claim.free == "constant":
        basis = np.ones((n, 1), dtype=object)
    elif claim.free == "affine":
        basis = to_integers(lifted)[0]
    else:
        raise Refused(f"free part {claim.free!r} is not known")
    rows = claim.rows if isinstance(claim.rows, (tuple, list)) else (None,)
    nested = len(rows) > 0 and all(isinstance(row, (tuple, list)) for row in rows)
    per_output: list[Any] = list(rows) if nested else [rows] * alpha.shape[1]
    if len(per_output) != alpha.shape[1]:
        raise Refused(f"rows {claim.rows!r} are not given for each of the {alpha.shape[1]} outputs")
    columns = [_corrected_column(integers[:, j], list(chosen), basis) for j, chosen in enumerate(per_output)]
    scale = math.lcm(*(factor for _, factor in columns))
    corrected = np.column_stack([column * (scale // factor) for column, factor in columns])
    if (basis.T @ corrected).any():
        raise Refused("the correction of alpha failed")
    return corrected, denominator * scale


def _is_row(row: object, n: int) -> bool:
    return isinstance(row, (int, np.integer)) and not isinstance(row, bool) and bool(0 <= row < n)


def _corrected_column(column: Ints, rows: list[int], basis: Ints) -> tuple[Ints, int]:
    """Return one output's alpha' times an integer factor, and the factor."""
    n = len(basis)
    if not all(_is_row(row, n) for row in rows) or len(set(rows)) < len(rows):
        raise Refused(f"rows {rows!r} are not distinct rows of the data")
    if not basis.shape[1]:
        if rows:
            raise Refused("there is no free part, so no rows to correct")
        return column, 1
    solution = solve(basis[rows].T.tolist(), (-(basis.T @ column))[:, None].tolist())
    if solution is None or solution[2] < len(rows):
        raise Refused(f"rows {rows!r} do not determine the correction of alpha")
    delta, factor, _ = solution
    corrected = column * factor
    for i, (change,) in zip(rows, delta, strict=True):
        corrected[i] += change
    return corrected, factor


# -- the dual objective -------------------------------------------------------------------------------------------


def _dual_value(alpha: Ints, denominator: int, y: Array, claim: Claim, params: dict[str, Any]) -> Fraction | float:
    """Return a lower bound of the dual objective at kappa alpha', exact but for the logarithms of logistic."""
    targets = [Fraction(value) for value in y.ravel().tolist()]
    supremum = Fraction(claim.supremum)
    duals = [Fraction(value, denominator) for value in alpha.ravel()]
    if claim.lam is None:
        value = sum((a * t for a, t in zip(duals, targets)), Fraction(0))
        if supremum:
            return value / supremum
        return math.inf if value > 0 else Fraction(0)  # phi vanishes: every multiple of alpha is feasible, and 0 is
    if claim.loss in _LABELS and any(abs(target) != 1 for target in targets):
        raise Refused(f"the {claim.loss} loss needs labels -1 and 1")
    kappa = min(Fraction(1), Fraction(claim.lam) / supremum) if supremum else Fraction(1)
    n = len(y)
    total = Fraction(0)
    for a, target in zip(duals, targets):
        term = _minus_conjugate(claim.loss, -n * kappa * a, target, params)
        if term is None:
            raise Refused(f"alpha leaves the domain of the dual of the {claim.loss} loss")
        total += term
    return total / n


def _minus_conjugate(loss: str, u: Fraction, y: Fraction, params: dict[str, Any]) -> Fraction | None:
    """Return -l*(u, y), or a rational number just below it; None outside the domain."""
    p = -u * y
    if loss == "squared":
        return p - u * u / 2
    if loss == "absolute":
        return p if abs(u) <= 1 else None
    if loss == "huber":
        return p - u * u / 2 if abs(u) <= Fraction(params["delta"]) else None
    if loss == "quantile":
        return p if -Fraction(params["q"]) <= u <= 1 - Fraction(params["q"]) else None
    if loss == "squared_hinge":
        return p - p * p / 2 if p >= 0 else None
    if not 0 <= p <= 1:
        return None
    return p if loss == "hinge" else _entropy_term(p) + _entropy_term(1 - p)


def _entropy_term(p: Fraction) -> Fraction:
    """Return a lower bound of -p ln p, 0 <= p <= 1, that is 50 digits sharp.

    `Decimal.ln` rounds to nearest, so its next number above is an upper bound of the logarithm.
    """
    if p == 0:
        return Fraction(0)
    with localcontext(Context(prec=50, rounding=ROUND_CEILING)):
        logarithm = (Decimal(p.numerator) / Decimal(p.denominator)).ln()
        if not logarithm:  # p is 1, or rounds to it; -p ln p >= 0 in any case
            return Fraction(0)
        return -p * Fraction(logarithm.next_plus())
