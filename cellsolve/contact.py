"""Where every minimiser lives, and whether there is only one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cellsolve.certificate import stated_problem
from cellsolve.checks import positive
from cellsolve.data import Array
from cellsolve.oracles.ascent import AscentOracle, dual_function
from cellsolve.problem import Problem
from cellsolve.solution import Solution
from cellsolve.solvers.frame import Frame
from cellsolve.solvers.gather import components

#: least slack by default: digits of a dual function beyond it are lost in sums over the data
LEAST_SLACK = 1e-8
#: a peak is flat where at a hundredth of the slack it is still more than a third as wide: a kink is then a hundredth
#: as wide, a smooth maximum a tenth
CLOSER, FLAT = 1e-2, 1 / 3
#: widths below this are rounding of the ascents
POINT = 1e-6
#: a dual vector is on the border of its box when nearer than this share of its largest entry: what solvers leave
BORDER = 1e-6
#: `outside` up to this share of objective / lam, which no minimiser's norm exceeds, leaves the sets a meaning
ELSEWHERE = 0.1
#: singular values, of columns of length 1, below this are dependence
DEPENDENT = 1e-9


@dataclass(frozen=True, eq=False)
class ContactSet:
    """The neurons where the dual function touches its bound.

    Attributes
    ----------
    neurons : (K, D)
        The highest neuron of each connected set with |phi_alpha| / w of at least 1 - slack of the bound; w = 1.
    signs : (K,)
        The sign of phi_alpha, which is that of any weight there.
    ratios : (K,)
        |phi_alpha| / w, as shares of the bound, in falling order.
    widths : (K,)
        The largest distance, between directions, of neurons found in that set.
    slack : float
    outside : float
        No minimiser has more of its norm than this outside these sets.
    unique : bool
        Whether there is only one minimiser, as far as these digits tell: every set shrinks to a point with the slack,
        and the responses of these points are independent. Where that cannot be told, as with a large gap, it is False.
    """

    neurons: Array
    signs: Array
    ratios: Array
    widths: Array
    slack: float
    outside: float
    unique: bool


def contact_set(solution: Solution, X: ArrayLike, y: ArrayLike, *, slack: float | None = None) -> ContactSet:
    r"""Find the neurons on which every minimiser lives, by complementary slackness.

    With a dual vector of lower bound D, every network :math:`\nu` of objective P has

    .. math::
        \int \Big(\lambda w - |\varphi_\alpha|\Big)\, d|\nu| \;\le\; P - D ,

    so a minimiser has at most :math:`(P - D) / (\lambda\,\text{slack})` of its norm where
    :math:`|\varphi_\alpha| < (1 - \text{slack})\lambda w`. The rest lies near the maxima found here, by local ascents:
    none is known to be missing, and none is proven to be.

    Parameters
    ----------
    solution : Solution
    X, y : array-like
        The data that it was solved on.
    slack : float, optional
        In (0, 1). By default the square root of the gap, at least 1e-8.

    Returns
    -------
    ContactSet

    Raises
    ------
    ValueError
        Several outputs, other data, or a slack outside (0, 1).
    """
    if not isinstance(solution, Solution):
        raise ValueError(f"solution is a {type(solution).__name__}; pass what solve or interpolate returned.")
    certificate = solution.certificate
    problem = stated_problem(certificate.__dict__, X, y)
    if differences := certificate.differences(problem):
        raise ValueError(f"solution is of another problem: it differs in {', '.join(differences)}.")
    if problem.y.ndim > 1:
        raise ValueError("solution has several outputs; contact_set takes one.")
    slack = positive(slack, "slack", max(LEAST_SLACK, min(0.5, float(certificate.gap) ** 0.5)))
    if slack >= 1:
        raise ValueError(f"slack is {slack!r}; pass a number above 0 and below 1.")
    level = 1.0 if certificate.lam is None else certificate.lam
    above = certificate.lam is None or certificate.supremum > level
    alpha = certificate.alpha * (level / certificate.supremum if above and certificate.supremum > 0 else 1.0)
    outside = max(0.0, certificate.objective - certificate.lower_bound) / (level * slack)

    frame = Frame.of(problem)
    inside, units = frame.exact, frame.units
    dual = np.ldexp(alpha.reshape(problem.targets.shape), units.y) / units.value
    ascents = AscentOracle(inside)
    theta = frame.neurons_inside(solution.measure.neurons)
    ascents.around(theta, solution.measure.weights[:, None])
    theta = np.concatenate([theta, ascents.price(dual, (1 - slack) * inside.level).theta])
    theta, signs, ratios = _above(inside, theta, dual, slack)
    peaks, widths = _peaks(inside, theta, signs, ratios, dual, slack)
    closer = _above(inside, theta, dual, CLOSER * slack)
    flat = (_peaks(inside, *closer, dual, CLOSER * slack)[1] > max(POINT, FLAT * widths.max(initial=0.0))).any()
    theta, signs = theta[peaks], signs[peaks]
    neurons = frame.neurons(theta)
    neurons = neurons / problem.neuron_costs(neurons)[:, None]
    unique = certificate.gap <= ELSEWHERE * slack and not flat and _independent(inside, theta, dual)
    return ContactSet(neurons, signs, ratios[peaks], widths, slack, outside, unique)


def _above(problem: Problem, theta: Array, alpha: Array, slack: float) -> tuple[Array, Array, Array]:
    """Return the neurons above 1 - slack of the bound, the signs of phi there, and the shares, the highest first.

    Of those that are one point but for rounding the highest is returned.
    """
    phi = dual_function(problem, alpha, theta)[:, 0]
    cost = problem.neuron_costs(theta)
    ratios = np.where(cost > 0, np.abs(phi) / np.where(cost > 0, cost, 1.0), 0.0) / problem.level
    order = np.argsort(-ratios, kind="stable")
    order = order[ratios[order] >= 1 - slack]
    directions = theta[order] / np.linalg.norm(theta[order], axis=1, keepdims=True)
    apart = np.linalg.norm(directions[:, None] - directions, axis=2) + 2 * (
        np.sign(phi[order, None]) != np.sign(phi[order])
    )
    kept: list[int] = []
    for k in range(len(order)):
        if (apart[k, kept] > POINT).all():
            kept.append(k)
    order = order[kept]
    return theta[order], np.sign(phi[order]), ratios[order]


def _peaks(
    problem: Problem, theta: Array, signs: Array, ratios: Array, alpha: Array, slack: float
) -> tuple[np.ndarray, Array]:
    """Return the highest neuron of each connected set, and how wide the sets are."""
    if len(theta) < 2:
        return np.arange(len(theta)), np.zeros(len(theta))
    count, labels = components(problem, theta, signs, alpha, slack)
    peaks = np.array([np.argmax(labels == k) for k in range(count)])  # they come in falling order
    directions = theta / np.linalg.norm(theta, axis=1, keepdims=True)
    apart = np.linalg.norm(directions - directions[peaks[labels]], axis=1)
    if problem.one_facing:
        apart = np.minimum(apart, np.linalg.norm(directions + directions[peaks[labels]], axis=1))
    widths = np.array([apart[labels == k].max() for k in range(count)])
    order = np.argsort(peaks)
    return peaks[order], widths[order]


def _independent(problem: Problem, theta: Array, alpha: Array) -> bool:
    """Whether the responses of theta and the free part are independent on the entries that all minimisers share.

    These are the entries where alpha lies strictly inside its box: the conjugate's derivative there is the value.
    """
    low, high = problem.dual_box()
    border = BORDER * np.abs(alpha).max(initial=0.0)
    known = ((alpha - low > border) & (high - alpha > border))[:, 0]
    columns = np.hstack([problem.responses(theta), problem.basis])[known]
    lengths = np.linalg.norm(columns, axis=0)
    if not columns.shape[1]:
        return True
    if len(columns) < columns.shape[1] or not (lengths > 0).all():
        return False
    return bool(np.linalg.svd(columns / lengths, compute_uv=False)[-1] > DEPENDENT)
