"""What an oracle is asked and what it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from cellsolve.data import Array
from cellsolve.exact_dual import ExactDual


@dataclass(frozen=True)
class Pricing:
    """Answer of an oracle to a dual vector.

    Attributes
    ----------
    supremum : float
        Proven upper bound on sup ||phi_alpha(theta)|| / w(theta) over all neurons.
    theta : (K, D)
        Neurons found, best ratio first.
    ratios : (K,)
        Their ||phi_alpha|| / w.
    exhaustive : bool
        Whether every neuron was looked at, so that no neuron found above the level means that there is none.
    tree : bytes, optional
        The branch and bound that proved the supremum, where one did: a byte a cone, as `search_cone` lists them.
    """

    supremum: float
    theta: Array
    ratios: Array
    exhaustive: bool
    tree: bytes | None = None


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in a proof; `pricing` is what was proven before."""

    def __init__(self, pricing: Pricing) -> None:
        super().__init__()
        self.pricing = pricing


class Oracle(ABC):
    """Bounds |phi_alpha| / w over all neurons, and finds neurons where it is large."""

    #: whether the bound can become tight
    proves: bool
    #: whether it is tight to rounding, so that a better dual vector always shows
    exact = False
    #: whether it knows corrected dual vectors by `exactly`
    exact_dual = False
    #: what finds neurons without a proof, if that is apart
    ascents: Any = None

    @abstractmethod
    def price(
        self,
        alpha: Array,
        level: float,
        correction: Array | None = None,
        prove: bool = True,
        max_time: float = np.inf,
        thorough: bool = True,
    ) -> Pricing:
        """Bound sup ||phi_alpha|| / w, and return neurons whose ratio exceeds `level`.

        Parameters
        ----------
        alpha : (n, m)
            Dual vector; B^T alpha = 0 up to `correction`.
        level : float
        correction : (n, m), optional
            Bounds on |alpha' - alpha|: the supremum then holds for the exact alpha'.
        prove : bool
            Whether a tight bound is wanted; without it some oracles answer sooner, with the potential's crude bound.
        max_time : float
            Seconds after which a proof is given up, where it may take long.
        thorough : bool
            Whether a proof is to go to its end whatever it finds.

        Raises
        ------
        Interrupted
            Ctrl-C in a proof.
        """

    def exactly(self, dual: ExactDual, known: float) -> float | None:
        """Return the proven supremum of a corrected dual vector, where the correction can be told exactly.

        `known` is that of the vector before, infinite where nobody looked.
        """
        return None

    def around(self, theta: Array, weights: Array) -> None:  # noqa: B027 - most oracles need no hint
        """Take note of the network: its neurons (K, D) and weights (K, m)."""


def spread(theta: Array, most: int) -> Array:
    """Take at most `most` neurons, the first ones first but apart: neighbouring cells violate together."""
    if len(theta) <= most:
        return theta
    directions = theta / np.linalg.norm(theta, axis=1, keepdims=True)
    taken: list[int] = []
    for apart in (0.2, 0.05, 0.01, 0.0):
        near = np.zeros(len(theta), dtype=bool)
        for k in taken:
            near |= directions @ directions[k] > 1 - apart**2 / 2
        near[taken] = True
        while len(taken) < most and not near.all():
            k = int(np.argmin(near))
            taken.append(k)
            near |= directions @ directions[k] > 1 - apart**2 / 2
            near[k] = True
    return theta[taken]
