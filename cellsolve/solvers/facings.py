"""Which way kinks face: c relu(-t) = c relu(t) - c t, so turning some of them around adds a linear function for free.

Of all kinks shares between 0 and 1 may be turned: linear functions that cost nothing are a zonotope. One that is in it
needs no more than two kinks that are split.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cellsolve.data import Array


def turned(lean: Array, target: Array) -> Array | None:
    """Return shares (K,) with sum_k share_k lean_k = target, all but b of them 0 or 1, or None if there are none.

    The ray from the middle of the zonotope to the target leaves it on an edge; what is so at the edge, less of it, is
    so at the target, and then shares go to their ends.

    Parameters
    ----------
    lean : (K, b)
        Linear functions, of one or two coefficients.
    target : (b,)
    """
    size = np.abs(lean).sum(axis=0)
    if not len(lean) or not (size > 0).all():
        return None
    lean, target = lean / size, target / size
    away = target - 0.5 * lean.sum(axis=0)
    if lean.shape[1] == 1:
        extreme, reach = np.sign(lean[:, 0]), 0.5
        much = abs(away[0]) / reach
        extreme = extreme * np.sign(away[0])
    else:
        extreme, much = _edge(lean, away)
    if not much <= 1.0:
        return None
    share = 0.5 + 0.5 * much * extreme
    face_apart(lean, share)
    return share


def _edge(lean: Array, away: Array) -> tuple[Array, float]:
    """Return twice the shares where the ray `away` leaves sum_k [-1/2, 1/2] lean_k, and its length in units of that.

    The boundary is walked from its least point across the ray to the largest: all turned up, in the order of their
    slopes.
    """
    length = float(np.hypot(*away))
    if length == 0.0:
        return np.zeros(len(lean)), 0.0
    along, across = lean @ away / length, lean @ np.array([-away[1], away[0]]) / length
    up = np.where((across > 0) | ((across == 0) & (along > 0)), 1.0, -1.0)
    order = np.argsort(-up * along / np.where(across == 0, 1e-300, np.abs(across)), kind="stable")
    height = -0.5 * np.abs(across).sum() + np.append(0.0, np.cumsum(np.abs(across)[order]))
    edge = int(np.clip(np.searchsorted(height, 0.0) - 1, 0, len(lean) - 1))
    extreme = np.empty(len(lean))
    extreme[order] = np.where(np.arange(len(lean)) < edge, 1.0, -1.0)
    step = height[edge + 1] - height[edge]
    extreme[order[edge]] = -1.0 + 2.0 * (-height[edge] / step if step > 0 else 0.5)
    extreme = np.clip(extreme, -1.0, 1.0) * up
    reach = 0.5 * float(extreme @ along)
    return extreme, length / reach if reach > 0 else np.inf


@njit(cache=True, nogil=True)
def face_apart(lean, share):
    """Move shares in [0, 1] to their ends, all but b of them, and leave sum_k share_k lean_k (b,) as it is.

    Of b + 1 shares that are inside, lean (K, b) says in which direction they may move; one of them ends.
    """
    K, b = lean.shape
    inner = np.empty(b + 1, dtype=np.int64)
    count = 0
    for k in range(K):
        if not 0.0 < share[k] < 1.0:
            continue
        inner[count] = k
        count += 1
        while count == b + 1:
            way = np.empty(b + 1)
            if b == 1:
                way[0], way[1] = lean[inner[1], 0], -lean[inner[0], 0]
            else:
                for j in range(3):
                    p, q = inner[(j + 1) % 3], inner[(j + 2) % 3]
                    way[j] = lean[p, 0] * lean[q, 1] - lean[p, 1] * lean[q, 0]
            length, ends = np.inf, -1
            for j in range(b + 1):
                room = 1.0 - share[inner[j]] if way[j] > 0.0 else share[inner[j]]
                if way[j] != 0.0 and room / abs(way[j]) < length:
                    length, ends = room / abs(way[j]), j
            if ends < 0:
                break
            for j in range(b + 1):
                share[inner[j]] = min(1.0, max(0.0, share[inner[j]] + length * way[j]))
            share[inner[ends]] = 1.0 if way[ends] > 0.0 else 0.0
            left = 0
            for j in range(b + 1):
                if 0.0 < share[inner[j]] < 1.0:
                    inner[left] = inner[j]
                    left += 1
            count = left
        if count == b + 1:
            break
