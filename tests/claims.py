"""True claims for the verifier's tests: cells by sampling, suprema by one conic program a cell, none of its code."""

from dataclasses import replace

import clarabel
import numpy as np
from scipy import sparse
from scipy.special import entr

from cellsolve.verify import Claim, verify

PENALTIES = [("variation", {}), ("slope", {}), ("l1", {}), ("label_noise", {}), ("label_noise", {"full": True})]


def lifted_of(X, fit_bias):
    return np.column_stack([X, np.ones(len(X))]) if fit_bias else X


def sampled_patterns(L, rng, count=6000):
    """The patterns of many neurons, half of them close to the meeting points of hyperplanes."""
    n, D = L.shape
    theta = rng.standard_normal((count, D))
    rows = np.argsort(rng.random((count // 2, n)), axis=1)[:, : D - 1]
    theta[: count // 2] *= 1e-6
    theta[: count // 2] += np.linalg.svd(L[rows])[2][:, -1] if D > 1 else 0
    return np.unique(np.concatenate([theta @ L.T > 0, theta @ L.T < 0]), axis=0)


def cost_matrix(penalty, params, pattern, L, fit_bias):
    """M with w = ||M theta||."""
    n, D = L.shape
    if penalty == "label_noise":
        factor = 2 * np.sqrt((pattern @ (L**2).sum(axis=1)) / n) if params.get("full") else 1.0
        return factor * L[pattern] / np.sqrt(n)
    return np.eye(D)[: D - 1] if penalty == "slope" and fit_bias else np.eye(D)


def cell_maximiser(q, M, G, l1):
    """argmax <q, theta> over G theta >= 0, ||M theta|| <= 1."""
    D = len(q)
    if l1:  # theta = p - r
        A = np.vstack([np.column_stack([-G, G]), -np.eye(2 * D), np.ones((1, 2 * D))])
        b, c = np.append(np.zeros(len(A) - 1), 1.0), -np.concatenate([q, -q])
        cones = [clarabel.NonnegativeConeT(len(A))]
    else:
        A = np.vstack([-G, np.zeros((1, D)), -M])
        b, c = np.concatenate([np.zeros(len(G)), [1.0], np.zeros(len(M))]), -q
        cones = [clarabel.NonnegativeConeT(len(G)), clarabel.SecondOrderConeT(1 + len(M))]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-11
    empty = sparse.csc_matrix((len(c), len(c)))
    x = np.array(clarabel.DefaultSolver(empty, c, sparse.csc_matrix(A), b, cones, settings).solve().x)
    return x[:D] - x[D:] if l1 else x


def true_supremum(alpha, X, penalty, params, fit_bias, rng):
    """Sup ||phi_alpha|| / w, to about 1e-10: over u by alternating maximisation from many directions."""
    L = lifted_of(X, fit_bias)
    columns = alpha.reshape(len(X), -1)
    best = 0.0
    for pattern in sampled_patterns(L, rng):
        if not pattern.any():
            continue
        G = np.where(pattern, 1.0, -1.0)[:, None] * L
        M = cost_matrix(penalty, params, pattern, L, fit_bias)
        Q = L[pattern].T @ columns[pattern]
        if columns.shape[1] == 1:
            starts = [np.array([1.0]), np.array([-1.0])]
        else:
            angle = np.arange(6) * np.pi / 3
            starts = np.column_stack([np.cos(angle), np.sin(angle)])
        for u in starts:
            for _ in range(1 if columns.shape[1] == 1 else 12):
                theta = cell_maximiser(Q @ u, M, G, penalty == "l1")
                value = np.linalg.norm(Q.T @ theta)
                if value < 0.3 * best or value == 0:
                    break
                u = Q.T @ theta / value
            size = np.abs(theta).sum() if penalty == "l1" else np.linalg.norm(M @ theta)
            if size > 1e-7:
                best = max(best, value / size)
    return best


def minus_conjugate(loss, params, u, y):
    p = -u * y
    return {
        "squared": lambda: p - u**2 / 2,
        "huber": lambda: p - u**2 / 2,
        "squared_hinge": lambda: p - p**2 / 2,
        "logistic": lambda: entr(p) + entr(1 - p),
    }.get(loss, lambda: p)()


def basis_of(X, free, fit_bias):
    return {"none": np.zeros((len(X), 0)), "constant": np.ones((len(X), 1)), "affine": lifted_of(X, fit_bias)}[free]


def make_claim(X, y, alpha, *, rng, lam=None, free="none", fit_bias=True, inflate=1e-9, rows=None, **names):
    """A true claim: alpha projected on B^T alpha = 0, a supremum just above the true one, the bound just below."""
    B = basis_of(X, free, fit_bias)
    if B.shape[1]:
        alpha = alpha - B @ np.linalg.lstsq(B, alpha, rcond=None)[0]
    penalty, params = names.get("penalty", "variation"), names.get("penalty_params", {})
    supremum = true_supremum(alpha, X, penalty, params, fit_bias, rng) * (1 + inflate)
    if lam is None:
        value = np.sum(alpha * y) / supremum
    else:
        scaled = -len(X) * alpha * min(1.0, lam / supremum)
        value = np.sum(minus_conjugate(names.get("loss", "squared"), names.get("loss_params", {}), scaled, y)) / len(X)
    lower = value - 1e-9 * abs(value)
    rows = tuple(range(B.shape[1])) if rows is None else rows
    return Claim(alpha, rows, float(supremum), float(lower), lam, free=free, fit_bias=fit_bias, **names)


def data(seed, n, d, m=None):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    shape = (n,) if m is None else (n, m)
    return rng, X, rng.standard_normal(shape), rng.standard_normal(shape) / n


def check_both_ways(claim, X, y):
    verdict = verify(claim, X, y)
    assert verdict.ok, verdict.reason
    assert verdict.method == "exact rationals"
    assert not verify(replace(claim, supremum=claim.supremum * (1 - 1e-6), lower_bound=-np.inf), X, y).ok
    assert not verify(replace(claim, lower_bound=claim.lower_bound + 2.1e-9 * abs(claim.lower_bound)), X, y).ok
