"""Certificate: a dual vector, the proven supremum of its dual function, and the lower bound they give.

Weak duality: any alpha with B^T alpha = 0, -n alpha in the conjugate's domain and sup |phi_alpha| / w <= lam bounds the
objective of every network of every width from below. `exact_dual` makes alpha satisfy B^T alpha = 0 exactly and
evaluates the dual objective in rationals, so that the bound holds for the data as the floats that they are.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cellsolve.data import Array, as_points, as_targets, fingerprint
from cellsolve.losses import LOSSES
from cellsolve.potentials import POTENTIALS
from cellsolve.problem import Problem
from cellsolve.replacing import replacing
from cellsolve.tasks import unsignalled

FORMAT = "cellsolve-certificate-1"
#: cones that a file may list: more than a solve visits, and what fits in memory whatever a file says
MOST_CONES = 2**26


@dataclass(frozen=True, eq=False)
class Certificate:
    """A lower bound on the objective of every network, with what proves it.

    Attributes
    ----------
    alpha : (n,) or (n, m)
        Dual vector. The bound is that of alpha', which differs from it on `rows` only, by rounding, so that
        B^T alpha' = 0 holds exactly; it is scaled by min(1, lam / supremum) (1 / supremum for interpolation).
    rows : tuple of int, or of tuples of int
        Independent rows of the free part's basis B; a tuple for each output where there are several.
    supremum : float
        Proven bound on sup ||phi_alpha'(theta)|| / w(theta) over all neurons.
    lower_bound : float
        No network of any width has an objective below it.
    objective : float
        Objective of the network it was made for.
    scale : float
        Loss of residuals that are rounding of y: an objective up to it is zero, as far as float64 can tell.
    data : str, optional
        `fingerprint` of the X and y that it was made for. No part of the proof, which holds for whatever data it is
        checked on.
    tree, scales, centre : bytes, tuple of int and of float, optional
        The branch and bound over cones that proved `supremum`: a byte a cone, on orthants with generators
        +-2^scales_c, for the points less `centre`, if there is one. Without it the supremum was proven over a list of
        all cells, or by a bound that needs none.
    """

    alpha: Array
    rows: tuple[Any, ...]
    supremum: float
    lower_bound: float
    objective: float
    scale: float
    lam: float | None
    loss: str
    loss_params: dict[str, float]
    penalty: str
    penalty_params: dict[str, Any]
    free: str
    fit_bias: bool
    data: str | None = None
    tree: bytes | None = field(default=None, repr=False)
    scales: tuple[int, ...] = ()
    centre: tuple[float, ...] = ()

    @property
    def gap(self) -> float:
        """(objective - lower_bound) / |objective|, not below 0; 0 when both vanish."""
        return relative_gap(self.objective, self.lower_bound, self.scale)

    @property
    def excess(self) -> float:
        """How far the objective can be above the best of any width: objective / lower_bound - 1.

        Infinite where the lower bound is not positive and the objective is above it.
        """
        if self.gap == 0:
            return 0.0
        return self.objective / self.lower_bound - 1 if self.lower_bound > 0 else np.inf

    def verify(self, X: ArrayLike, y: ArrayLike) -> bool:
        """Check the bound against the data in exact arithmetic, with code that shares nothing with the solvers."""
        return self.check(X, y).ok

    def check(self, X: ArrayLike, y: ArrayLike) -> Any:
        """Return the verifier's verdict: ``ok``, ``reason`` and ``method``."""
        from cellsolve.verify import Claim, verify

        over: list[bool] = []

        def go_on(done: int, total: int) -> None:
            if over:
                raise KeyboardInterrupt

        claim = Claim(**{entry.name: getattr(self, entry.name) for entry in fields(Claim)})
        try:
            verdict = unsignalled(lambda: verify(claim, X, y, progress=go_on))
        finally:
            over.append(True)
        if not verdict.ok and self._is_of_other_data(X, y):
            return replace(verdict, reason=f"{verdict.reason}; X and y are not the data that it was made for")
        return verdict

    def _is_of_other_data(self, X: ArrayLike, y: ArrayLike) -> bool:
        try:
            points = as_points(X)
            return self.data not in (None, fingerprint(points, as_targets(y, len(points))))
        except (OverflowError, TypeError, ValueError):  # no data at all: the verdict says so
            return False

    def problem(self, X: ArrayLike, y: ArrayLike) -> Problem:
        """Return the problem that this certificate states, on X and y, which may be other data than its own."""
        return stated_problem(self.__dict__, X, y)

    def differences(self, problem: Problem) -> list[str]:
        """Name what differs in the problem that this certificate was made for: "lam", say, or "data".

        Files of older versions do not say for which data they were made; then the shape of y is compared.
        """
        found = [key for key, value in statement(problem).items() if value != getattr(self, key)]
        other = self.data not in (None, fingerprint(problem.X, problem.y))
        return [*found, "data"] if other or self.alpha.shape != problem.y.shape else found

    def matches(self, problem: Problem) -> bool:
        """Whether this certificate was made for the same problem, on the same data."""
        return not self.differences(problem)

    def save(self, path: str | Path) -> None:
        """Write a JSON file, which appears when it is whole; floats are read back bit for bit."""
        tree = None if self.tree is None else b64encode(zlib.compress(self.tree, 9)).decode()
        content = {"format": FORMAT} | asdict(self) | {"alpha": self.alpha.tolist(), "tree": tree}
        with replacing(path) as draft:
            draft.write_text(json.dumps(content) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Certificate:
        """Read a file written by `save`; loading proves nothing, `verify` does.

        Keys that are not known are ignored: a later version may add some that say more about the same claim.

        Raises
        ------
        ValueError
            The file is not such a file.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content.pop("format") != FORMAT:
                raise ValueError(f"its format is not {FORMAT!r}")
            content["alpha"] = np.array(content["alpha"], dtype=np.float64)
            content["rows"] = tuple(tuple(row) if isinstance(row, list) else row for row in content["rows"])
            if content.get("tree") is not None:
                content["tree"] = _expanded(b64decode(content["tree"], validate=True))
            for key in ("scales", "centre"):
                content[key] = tuple(content.get(key, ()))
            return cls(**{entry.name: content[entry.name] for entry in fields(cls) if entry.name in content})
        except (zlib.error, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"{path} is not a certificate saved by cellsolve ({error}).") from error

    def __repr__(self) -> str:
        return (
            f"Certificate(objective={self.objective:.9g}, lower_bound={self.lower_bound:.9g}, "
            f"excess={self.excess:.2g}, supremum={self.supremum:.9g})"
        )


def _expanded(packed: bytes) -> bytes:
    """Unpack a tree, of a size that a proof may have."""
    unpacker = zlib.decompressobj()
    tree = unpacker.decompress(packed, MOST_CONES)
    if not unpacker.eof:
        raise ValueError("its tree is cut off, or too large")
    return tree


def relative_gap(objective: float, lower_bound: float, scale: float = 0.0) -> float:
    """(objective - lower_bound) / |objective|, not below 0; 0 when both vanish, to the rounding of `scale`."""
    if objective <= lower_bound or (objective <= scale and lower_bound >= 0):
        return 0.0
    return (objective - lower_bound) / abs(objective) if objective else np.inf


def statement(problem: Problem) -> dict[str, Any]:
    """Return what defines the problem beside its data."""
    return {
        "lam": problem.lam,
        "loss": problem.loss.name,
        "loss_params": problem.loss.params,
        "penalty": problem.penalty.name,
        "penalty_params": problem.penalty.params,
        "free": problem.free,
        "fit_bias": problem.fit_bias,
    }


def stated_problem(stated: Mapping[str, Any], X: ArrayLike, y: ArrayLike) -> Problem:
    """Return the problem on X and y with this statement: that of `statement`, or the fields of a certificate."""
    loss, penalty = stated["loss"], stated["penalty"]
    if loss not in LOSSES or penalty not in POTENTIALS:
        raise ValueError(f"loss {loss!r} or penalty {penalty!r} is unknown to this version.")
    return Problem(
        X,
        y,
        lam=stated["lam"],
        loss=LOSSES[loss](**stated["loss_params"]),
        penalty=POTENTIALS[penalty](**stated["penalty_params"]),
        free=stated["free"],
        fit_bias=stated["fit_bias"],
    )
