"""What an oracle answers."""

from __future__ import annotations

from dataclasses import dataclass

from cellsolve.data import Array


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
    """

    supremum: float
    theta: Array
    ratios: Array
    exhaustive: bool
