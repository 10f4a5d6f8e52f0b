"""Local maxima of |phi| / w on hinges, which steps uphill only come near: hinges are kinks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cellsolve.data import Array
from cellsolve.problem import Problem

#: neurons at a time: they are held against every point
BLOCK = 256
#: w that is this share of |theta| or less does not count: `slope` along the bias
FLAT = 1e-9


def on_hinges(problem: Problem, M: Array, alpha: Array, theta: Array) -> Iterator[Array]:
    """Yield the neurons (K, D) where |phi| / w is largest on the 0, 1, ..., D - 1 hinges nearest to `theta` (K, D).

    On hinges and between the others phi = L theta and w = |M theta|, so it is a singular vector. The l1 norm has its
    maxima on D - 1 hinges, those of unit vectors included.
    """
    rows, D = problem.lifted, theta.shape[1]
    linear = problem.boxes.sums_over_active(alpha, theta)[0][:, :, :D]
    if problem.penalty.order == 1:
        rows, alpha = np.vstack([rows, np.eye(D)]), np.vstack([alpha, np.zeros((D, alpha.shape[1]))])
    near, above = _nearest(rows, theta, min(D - 1, len(rows)))
    for count in range(near.shape[1] + 1):
        face = np.tile(np.eye(D), (len(theta), 1, 1))
        if count:  # a point on whose hinge a neuron is adds nothing
            i = near[:, count - 1]
            linear = linear - (above[:, count - 1, None] * alpha[i])[:, :, None] * rows[i][:, None, :]
            face = np.linalg.svd(rows[near[:, :count]])[2][:, count:].transpose(0, 2, 1)
        inverse = np.linalg.pinv(M @ face, rcond=FLAT)
        best = np.linalg.svd(linear @ face @ inverse)[2][:, 0]
        found = (face @ inverse @ best[:, :, None])[:, :, 0]
        yield found * np.where(np.sum(found * theta, axis=1) < 0, -1.0, 1.0)[:, None]


def _nearest(rows: Array, theta: Array, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The hinges nearest to each neuron, the nearest first, and whether it is on their active side."""
    sizes = np.linalg.norm(rows, axis=1)
    scaled = rows / np.where(sizes > 0, sizes, 1.0)[:, None]
    near, above = np.empty((len(theta), count), dtype=int), np.empty((len(theta), count), dtype=bool)
    for start in range(0, len(theta), BLOCK):
        some = slice(start, start + BLOCK)
        sines = theta[some] @ scaled.T
        far = np.where(sizes > 0, np.abs(sines), np.inf)
        first = np.argpartition(far, max(count - 1, 0), axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(far, first, axis=1), axis=1)
        near[some] = np.take_along_axis(first, order, axis=1)
        above[some] = np.take_along_axis(sines, near[some], axis=1) > 0
    return near, above
