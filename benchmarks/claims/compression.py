"""Compression of trained layers by the multitask lasso."""

from functools import cache

import numpy as np
from _digits import accuracy, between, loss, trained
from sklearn.linear_model import MultiTaskLasso

import cellsolve as cs
from claims import Claim, Measured

NEURONS, OUTPUTS, DRAWS = 500, 10, 200
#: samples -> what the authors publish for Gaussian data: the mean number of neurons kept
PUBLISHED = {10: 34.4, 20: 82.3, 30: 126.8, 40: 167.9}


@cache
def kept(samples: int) -> tuple[float, float, float]:
    """Mean number of neurons of the exact optimum over draws, its standard error, and the largest proven gap."""
    rng = np.random.default_rng(samples)
    found = []
    for _ in range(DRAWS):
        features, outputs = rng.standard_normal((samples, NEURONS)), rng.standard_normal((samples, OUTPUTS))
        found.append(cs.compress(features, outputs, tol=1e-8))
    counts = [compression.n_kept for compression in found]
    return np.mean(counts), np.std(counts) / np.sqrt(DRAWS), max(compression.gap for compression in found)


def gaussian_counts() -> Measured:
    means = {samples: kept(samples) for samples in PUBLISHED}
    shown = ", ".join(f"{mean:.1f} ± {error:.1f}" for mean, error, _ in means.values())
    gap = max(means[samples][2] for samples in means)
    near = all(abs(means[N][0] - published) < 3 * means[N][1] for N, published in PUBLISHED.items())
    above = all(means[N][0] < published for N, published in PUBLISHED.items())
    text = (
        f"{shown} neurons over {DRAWS} draws, gaps proven to {gap:.0e}; published "
        f"{', '.join(str(value) for value in PUBLISHED.values())}"
        + (": a little more, as an iterative method leaves some that the optimum has not." if above else ".")
    )
    return Measured(text, "yes" if near else "partly")


def rank_bound() -> Measured:
    rng = np.random.default_rng(0)
    held, tight, cases = 0, 0.0, 60
    for _ in range(cases):
        samples, neurons, outputs = rng.integers(2, 12), rng.integers(20, 120), rng.integers(1, 5)
        rank = rng.integers(1, samples + 1)
        features = rng.standard_normal((samples, rank)) @ rng.standard_normal((rank, neurons))
        found = cs.compress(features, features @ rng.standard_normal((neurons, outputs)))
        held += found.n_kept <= found.rank_bound and found.gap <= 1e-6
        tight = max(tight, found.n_kept / found.rank_bound)
    text = f"{held} of {cases} random layers of every rank, at a proven gap of 1e-6; at most {tight:.0%} of the bound."
    return Measured(text, "yes" if held == cases else "no")


def digits_last() -> Measured:
    network, (X, test, y, test_y) = trained()
    small = cs.compress_layer(network, "4", X, max_error=0.05)
    before, after = accuracy(network, test, test_y), accuracy(small.module, test, test_y)
    text = (
        f"Digits, 64-512-512-10: {small.n_kept} of 512 neurons of the last hidden layer; test accuracy {before:.2%} "
        f"before, {after:.2%} after, train loss {loss(network, X, y):.4f} and {loss(small.module, X, y):.4f}; the "
        f"program's gap is proven to {small.compression.gap:.0e}."
    )
    return Measured(text, "yes" if small.n_kept <= 51 and abs(after - before) <= 0.005 else "no")


def digits_middle() -> Measured:
    network, (X, test, _, test_y) = trained()
    small = cs.compress_layer(cs.compress_layer(network, "4", X, max_error=0.05).module, "2", X, max_error=0.05)
    before, after = accuracy(network, test, test_y), accuracy(small.module, test, test_y)
    widths = small.module[0].out_features, small.module[2].out_features
    text = f"Both hidden layers: 512, 512 to {widths[0]}, {widths[1]}; test accuracy {before:.2%} and {after:.2%}."
    return Measured(text, "yes" if max(widths) <= 100 and abs(after - before) <= 0.005 else "no")


def exact_on_training_data() -> Measured:
    network, (X, *_) = trained()
    features, outputs = between(network, 4, X)
    found = cs.compress(features, outputs)
    alive = int(features.any(axis=0).sum())
    text = (
        f"On {len(X)} samples the activations have rank {np.linalg.matrix_rank(features)}, and {alive} neurons are "
        f"ever active, so exact outputs keep {found.n_kept}: the bound, {found.rank_bound}, says nothing there. It is "
        "the penalised program that compresses."
    )
    return Measured(text, "no" if found.n_kept > 100 else "yes")


def multitask_lasso() -> Measured:
    rng = np.random.default_rng(0)
    features = np.maximum(rng.standard_normal((300, 80)), 0)
    outputs = features[:, :15] @ rng.standard_normal((15, 20)) + 0.3 * rng.standard_normal((300, 20))
    worst = 0.0
    for lam in (0.3, 0.1, 0.03):
        peer = MultiTaskLasso(lam, fit_intercept=False, tol=1e-12, max_iter=10**5).fit(features, outputs).coef_
        missed = np.sum((features @ peer.T - outputs) ** 2) / 600
        value = missed + lam * np.linalg.norm(peer, axis=0).sum()
        worst = max(worst, abs(cs.compress(features, outputs, lam=lam, tol=1e-9).objective / value - 1))
    text = f"Equal to scikit-learn's MultiTaskLasso to {worst:.0e} of the objective, at three values of lam."
    return Measured(text, "yes" if worst < 1e-8 else "no")


CLAIMS = [
    Claim(
        "A layer of any trained network has a representation with at most rank(Φ) rank(Ψ) neurons, found by a convex "
        "multitask lasso",
        "layer width theorem",
        rank_bound,
    ),
    Claim("That program is the multitask lasso", "layer width theorem", multitask_lasso),
    Claim("Neurons kept for 500 Gaussian features and 10 outputs, N = 10, 20, 30, 40", "simulations", gaussian_counts),
    Claim(
        "512 neurons of the last hidden layer become 47, a tenth, with no change in accuracy (VGG-19, CIFAR-10)",
        "Parhi's table",
        digits_last,
    ),
    Claim("So do those of the layers before", "layer width theorem, for every layer", digits_middle),
    Claim(
        "100 neurons are enough in theory for a trained layer with ten outputs",
        "Parhi's table, rank(Φ) rank(Ψ) ≤ 100",
        exact_on_training_data,
    ),
]
