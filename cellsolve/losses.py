"""Losses: value, gradient, conjugate, and two convex forms (cvxpy for reading, conic rows for the masters).

A loss acts elementwise on predictions `f` and targets `y` of equal shape. With the dual vector alpha the
conjugate's argument is u = -n alpha, and u = l'(f) at the optimum of a smooth loss.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context, Decimal, localcontext
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsolve.data import Array

if TYPE_CHECKING:
    import cvxpy as cp


@dataclass(frozen=True)
class ConicRow:
    """One row a sample: `f_coefficient * f + sum_k aux_coefficients[k] * aux_k <= bound` (all per sample)."""

    f_coefficient: Array
    aux_coefficients: tuple[float, ...]
    bound: Array


@dataclass(frozen=True)
class ConicForm:
    """l(f, y) = min over aux of  q f^2 / 2 + c f + sum_k (Q_k aux_k^2 / 2 + C_k aux_k) + constant, subject to rows.

    `rows` are linear inequalities. `exponentials` are triples of affine functions (f coefficient, aux
    coefficients, constant) that must lie in the exponential cone {(x, y, z): y exp(x / y) <= z}.
    """

    f_quadratic: float = 0.0
    f_linear: Array | float = 0.0
    aux_quadratic: tuple[float, ...] = ()
    aux_linear: tuple[float, ...] = ()
    constant: Array | float = 0.0
    rows: tuple[ConicRow, ...] = ()
    exponentials: tuple[tuple[tuple[Array, tuple[float, ...], float], ...], ...] = ()

    @property
    def is_linear(self) -> bool:
        """Whether the form is a linear program."""
        return self.f_quadratic == 0 and not any(self.aux_quadratic) and not self.exponentials


class Loss(ABC):
    """A convex loss l(f, y)."""

    name: str
    #: labels must be -1 or 1
    classification: bool = False
    #: a minimum that is attained for every data set
    attained: bool = True
    #: piecewise linear, with its kink where f = y
    polyhedral: bool = False
    #: c where -l*(u, y) = -u y - c u^2 / 2 on the domain, None where it is another function
    bend: float | None = None

    @abstractmethod
    def value(self, f: Array, y: Array) -> Array:
        """Return l(f, y), elementwise."""

    @abstractmethod
    def gradient(self, f: Array, y: Array) -> Array:
        """Return a subgradient in f, elementwise."""

    def curvature(self, f: Array, y: Array) -> Array:
        """Return the second derivative in f, elementwise, away from its jumps."""
        return np.zeros_like(f)

    @abstractmethod
    def domain(self, y: Array) -> tuple[Array, Array]:
        """Return the ends of the interval of u on which the conjugate is finite."""

    @abstractmethod
    def dual(self, u: Array, y: Array) -> Array:
        """Return -l*(u, y), elementwise, for u inside the domain."""

    @abstractmethod
    def dual_exact(self, u: Fraction, y: Fraction) -> Fraction | None:
        """Return a rational number <= -l*(u, y), equal to it where it is rational; None outside the domain."""

    @abstractmethod
    def conic(self, y: Array) -> ConicForm:
        """Return the loss as conic rows, for the masters."""

    @abstractmethod
    def cvxpy(self, f: cp.Expression, y: Array) -> cp.Expression:
        """Return sum_i l(f_i, y_i) as a cvxpy expression."""

    def scaled(self, scale: float) -> tuple[Loss, float]:
        """Return (l', s) with l(scale f, scale y) = s l'(f, y); labels cannot be scaled."""
        raise ValueError(f"the {self.name} loss cannot be rescaled")

    @property
    def params(self) -> dict[str, float]:
        """The numbers that define the loss beside its name."""
        return {}


@dataclass(frozen=True)
class Squared(Loss):
    """l = (f - y)^2 / 2."""

    name: str = field(default="squared", init=False)
    bend = 1.0

    def value(self, f, y):
        return 0.5 * (f - y) ** 2

    def gradient(self, f, y):
        return f - y

    def curvature(self, f, y):
        return np.ones_like(f)

    def domain(self, y):
        return np.full_like(y, -np.inf), np.full_like(y, np.inf)

    def dual(self, u, y):
        return -0.5 * u**2 - u * y

    def dual_exact(self, u, y):
        return -u * u / 2 - u * y

    def conic(self, y):
        return ConicForm(f_quadratic=1.0, f_linear=-y, constant=0.5 * y**2)

    def cvxpy(self, f, y):
        import cvxpy as cp

        return 0.5 * cp.sum_squares(f - y)

    def scaled(self, scale):
        return self, scale * scale


@dataclass(frozen=True)
class Quantile(Loss):
    """l = max(q (y - f), (q - 1)(y - f)), the pinball loss; its minimiser estimates the q-quantile."""

    q: float = 0.5
    name: str = field(default="quantile", init=False)
    bend = 0.0
    polyhedral = True

    def __post_init__(self):
        object.__setattr__(self, "q", _as_float(self.q, "q"))
        if not 0 < self.q < 1:
            raise ValueError(f"q is {self.q}; the quantile loss needs 0 < q < 1.")

    def value(self, f, y):
        return np.maximum(self.q * (y - f), (self.q - 1) * (y - f))

    def gradient(self, f, y):
        return np.where(f > y, 1 - self.q, np.where(f < y, -self.q, 0.0))

    def domain(self, y):
        return np.full_like(y, -self.q), np.full_like(y, 1 - self.q)

    def dual(self, u, y):
        return -u * y

    def dual_exact(self, u, y):
        q = Fraction(self.q)
        return -u * y if -q <= u <= 1 - q else None

    def conic(self, y):
        one = np.ones_like(y)
        under = ConicRow(-self.q * one, (-1.0,), -self.q * y)
        over = ConicRow((1 - self.q) * one, (-1.0,), (1 - self.q) * y)
        return ConicForm(aux_quadratic=(0.0,), aux_linear=(1.0,), rows=(under, over))

    def cvxpy(self, f, y):
        import cvxpy as cp

        return cp.sum(cp.maximum(self.q * (y - f), (self.q - 1) * (y - f)))

    def scaled(self, scale):
        return self, scale

    @property
    def params(self):
        return {"q": self.q}


@dataclass(frozen=True)
class Absolute(Loss):
    """l = |f - y|."""

    name: str = field(default="absolute", init=False)
    bend = 0.0
    polyhedral = True

    def value(self, f, y):
        return np.abs(f - y)

    def gradient(self, f, y):
        return np.sign(f - y)

    def domain(self, y):
        return np.full_like(y, -1.0), np.full_like(y, 1.0)

    def dual(self, u, y):
        return -u * y

    def dual_exact(self, u, y):
        return -u * y if abs(u) <= 1 else None

    def conic(self, y):
        one = np.ones_like(y)
        return ConicForm(
            aux_quadratic=(0.0,), aux_linear=(1.0,), rows=(ConicRow(one, (-1.0,), y), ConicRow(-one, (-1.0,), -y))
        )

    def cvxpy(self, f, y):
        import cvxpy as cp

        return cp.sum(cp.abs(f - y))

    def scaled(self, scale):
        return self, scale


@dataclass(frozen=True)
class Huber(Loss):
    """l = r^2 / 2 where |r| <= delta, delta |r| - delta^2 / 2 beyond; r = f - y."""

    delta: float = 1.0
    name: str = field(default="huber", init=False)
    bend = 1.0

    def __post_init__(self):
        object.__setattr__(self, "delta", _as_float(self.delta, "delta"))
        if not (self.delta > 0 and np.isfinite(self.delta)):
            raise ValueError(f"delta is {self.delta}; the Huber loss needs a positive finite delta.")

    def value(self, f, y):
        r = np.abs(f - y)
        return np.where(r <= self.delta, 0.5 * r**2, self.delta * (r - 0.5 * self.delta))

    def gradient(self, f, y):
        return np.clip(f - y, -self.delta, self.delta)

    def curvature(self, f, y):
        return (np.abs(f - y) <= self.delta).astype(np.float64)

    def domain(self, y):
        return np.full_like(y, -self.delta), np.full_like(y, self.delta)

    def dual(self, u, y):
        return -0.5 * u**2 - u * y

    def dual_exact(self, u, y):
        return -u * u / 2 - u * y if abs(u) <= Fraction(self.delta) else None

    def conic(self, y):
        one = np.ones_like(y)
        return ConicForm(  # r = smooth part + rest, delta |rest|
            aux_quadratic=(1.0, 0.0),
            aux_linear=(0.0, self.delta),
            rows=(ConicRow(one, (-1.0, -1.0), y), ConicRow(-one, (1.0, -1.0), -y)),
        )

    def cvxpy(self, f, y):
        import cvxpy as cp

        return 0.5 * cp.sum(cp.huber(f - y, self.delta))

    def scaled(self, scale):
        return Huber(delta=self.delta / scale), scale * scale

    @property
    def params(self):
        return {"delta": self.delta}


@dataclass(frozen=True)
class Hinge(Loss):
    """l = max(0, 1 - y f), y = -1 or 1."""

    name: str = field(default="hinge", init=False)
    bend = 0.0
    polyhedral = True
    classification = True

    def value(self, f, y):
        return np.maximum(0.0, 1 - y * f)

    def gradient(self, f, y):
        return np.where(y * f < 1, -y, 0.0)

    def domain(self, y):
        return np.minimum(-y, 0.0), np.maximum(-y, 0.0)

    def dual(self, u, y):
        return -u * y

    def dual_exact(self, u, y):
        p = -u * y
        return p if 0 <= p <= 1 else None

    def conic(self, y):
        zero = np.zeros_like(y)
        return ConicForm(
            aux_quadratic=(0.0,),
            aux_linear=(1.0,),
            rows=(ConicRow(-y, (-1.0,), zero - 1), ConicRow(zero, (-1.0,), zero)),
        )

    def cvxpy(self, f, y):
        import cvxpy as cp

        return cp.sum(cp.pos(1 - cp.multiply(y, f)))


@dataclass(frozen=True)
class SquaredHinge(Loss):
    """l = max(0, 1 - y f)^2 / 2, y = -1 or 1."""

    name: str = field(default="squared_hinge", init=False)
    bend = 1.0
    classification = True

    def value(self, f, y):
        return 0.5 * np.maximum(0.0, 1 - y * f) ** 2

    def gradient(self, f, y):
        return -y * np.maximum(0.0, 1 - y * f)

    def curvature(self, f, y):
        return (y * f < 1).astype(np.float64)

    def domain(self, y):
        return np.where(y > 0, -np.inf, 0.0), np.where(y > 0, 0.0, np.inf)

    def dual(self, u, y):
        p = -u * y
        return p - 0.5 * p**2

    def dual_exact(self, u, y):
        p = -u * y
        return p - p * p / 2 if p >= 0 else None

    def conic(self, y):
        zero = np.zeros_like(y)
        return ConicForm(
            aux_quadratic=(1.0,),
            aux_linear=(0.0,),
            rows=(ConicRow(-y, (-1.0,), zero - 1), ConicRow(zero, (-1.0,), zero)),
        )

    def cvxpy(self, f, y):
        import cvxpy as cp

        return 0.5 * cp.sum_squares(cp.pos(1 - cp.multiply(y, f)))


@dataclass(frozen=True)
class Logistic(Loss):
    """l = log(1 + exp(-y f)), y = -1 or 1."""

    name: str = field(default="logistic", init=False)
    classification = True
    attained = False

    def value(self, f, y):
        return np.logaddexp(0.0, -y * f)

    def gradient(self, f, y):
        from scipy.special import expit

        return -y * expit(-y * f)

    def curvature(self, f, y):
        from scipy.special import expit

        return expit(f) * expit(-f)

    def domain(self, y):
        return np.minimum(-y, 0.0), np.maximum(-y, 0.0)

    def dual(self, u, y):
        from scipy.special import entr

        p = np.clip(-u * y, 0.0, 1.0)
        return entr(p) + entr(1 - p)

    def dual_exact(self, u, y):
        p = -u * y
        return _entropy_below(p) + _entropy_below(1 - p) if 0 <= p <= 1 else None

    def conic(self, y):
        # t >= log(1 + exp(-y f))  iff  exp(-y f - t) <= v1, exp(-t) <= v2, v1 + v2 <= 1
        zero = np.zeros_like(y)
        one = ((zero, (0.0, 0.0, 0.0), 1.0),)
        first = ((-y, (-1.0, 0.0, 0.0), 0.0), *one, (zero, (0.0, 1.0, 0.0), 0.0))
        second = ((zero, (-1.0, 0.0, 0.0), 0.0), *one, (zero, (0.0, 0.0, 1.0), 0.0))
        return ConicForm(
            aux_quadratic=(0.0, 0.0, 0.0),
            aux_linear=(1.0, 0.0, 0.0),
            rows=(ConicRow(zero, (0.0, 1.0, 1.0), zero + 1),),
            exponentials=(first, second),
        )

    def cvxpy(self, f, y):
        import cvxpy as cp

        return cp.sum(cp.logistic(-cp.multiply(y, f)))


def _as_float(value: Any, name: str) -> float:
    """Return a number as the float that a certificate states."""
    if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}; pass a number.")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"{name} is too large for float64; pass a smaller number.") from error


def _entropy_below(p: Fraction) -> Fraction:
    """Return a rational lower bound of -p ln p, about 40 digits sharp.

    `Decimal.ln` is correctly rounded, so one step up in its last place bounds ln p from above.
    """
    if p == 0 or p == 1:
        return Fraction(0)
    with localcontext(Context(prec=40, rounding=ROUND_CEILING)) as context:
        above = Decimal(p.numerator) / Decimal(p.denominator)  # >= p, so its logarithm is >= ln p
        logarithm = above.ln()
        if logarithm == 0:  # p rounds to 1: -p ln p > 0 is all that 40 digits can say
            return Fraction(0)
        logarithm = context.next_plus(logarithm)
    return -p * Fraction(logarithm)


#: one line a loss; `Loss` objects are accepted wherever a name is
LOSSES: dict[str, type[Loss]] = {
    "squared": Squared,
    "absolute": Absolute,
    "huber": Huber,
    "quantile": Quantile,
    "logistic": Logistic,
    "hinge": Hinge,
    "squared_hinge": SquaredHinge,
}


def as_loss(loss: Any) -> Loss:
    """Return the Loss of that name, or the object itself."""
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, str) and loss in LOSSES:
        return LOSSES[loss]()
    raise ValueError(
        f"loss is {loss!r}; choose one of {', '.join(LOSSES)}, or pass a Loss object such as Huber(delta=2)."
    )


__all__ = [
    "LOSSES",
    "Absolute",
    "ConicForm",
    "ConicRow",
    "Hinge",
    "Huber",
    "Logistic",
    "Loss",
    "Quantile",
    "Squared",
    "SquaredHinge",
    "as_loss",
]
