"""
Certify scikit-learn's MLPClassifier
====================================

The best network for two classes, and how far scikit-learn's own are from it: on exactly their objective, with a proof.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, make_moons
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import scale

import cellsolve as cs
from cellsolve.plotting.style import BLACK, BLUE, ORANGE, VERMILLION, bare

table = load_breast_cancer(as_frame=True).frame
features = ["mean radius", "mean texture"]
moons = make_moons(200, noise=0.25, random_state=0)
data = {"two moons": (scale(moons[0]), moons[1]), "breast cancer": (scale(table[features]), table["target"].to_numpy())}

# %%
# ``MLPClassifier`` decays the weights by alpha / n, and no biases. A hidden layer then costs the norm ``slope``, and
# the last bias is a constant that costs nothing. So this is its problem, over networks of every width:

alpha = 0.5
best = {}
for name, (X, y) in data.items():
    best[name] = cs.CellClassifier(lam=alpha / len(X), penalty="slope", free="constant").fit(X, y)
    print(f"{name}: {best[name].solution_}\n")

# %%
# And these are its own networks, of width 100, by two optimizers from five seeds each. ``certify`` takes their
# weights as they are.


def trained(X, y, solver, seed):
    adam = {"batch_size": len(X), "learning_rate_init": 0.01, "n_iter_no_change": 100} if solver == "adam" else {}
    options = {"alpha": alpha, "max_iter": 5000, "tol": 1e-6, "random_state": seed} | adam
    return MLPClassifier(100, solver=solver, **options).fit(X, y)


def certified(network, name):
    X, y = data[name]
    inner = np.column_stack([network.coefs_[0].T, network.intercepts_[0]])
    measure = cs.SparseMeasure(inner, network.coefs_[1][:, 0], offset=network.intercepts_[1][0])
    problem = cs.Problem(X, 2 * y - 1, lam=alpha / len(X), loss="logistic", penalty="slope", free="constant")
    return cs.certify(measure, problem, certificate=best[name].certificate_)


runs = [(name, solver) for name in data for solver in ("lbfgs", "adam")]
networks = {(name, solver): [trained(*data[name], solver, seed) for seed in range(5)] for name, solver in runs}
for (name, solver), group in networks.items():
    excess = ", ".join(f"{certified(network, name).excess:.2%}" for network in group)
    print(f"{name:14} {solver:6} above the best of any width by {excess}")

# %%
# The borders between the classes. Those of the trained networks can hardly be told from the optimum's, and it needs
# about ten neurons where they have a hundred.

figure, axes = plt.subplots(1, 2, figsize=(8.4, 4.2), layout="constrained")
for ax, (name, (X, y)) in zip(axes, data.items()):
    low, high = X.min(axis=0) - 0.2, X.max(axis=0) + 0.2
    grid = np.meshgrid(*(np.linspace(*side, 250) for side in zip(low, high)))
    points = np.column_stack([part.ravel() for part in grid])
    ax.plot(*X[y == 0].T, "o", color=ORANGE, markersize=3, alpha=0.7, label="class 0")
    ax.plot(*X[y == 1].T, "o", color=BLUE, markersize=3, alpha=0.7, label="class 1")
    for network in networks[name, "lbfgs"] + networks[name, "adam"]:
        border = network.predict_proba(points)[:, 1].reshape(grid[0].shape)
        ax.contour(*grid, border, levels=[0.5], colors=VERMILLION, linewidths=0.6)
    border = best[name].decision_function(points).reshape(grid[0].shape)
    ax.contour(*grid, border, levels=[0], colors=BLACK, linewidths=2)
    solution = best[name].solution_
    proven = "" if solution.status == "optimal" else "NOT proven, "
    ax.set_title(f"{name}: {solution.measure.n_neurons} neurons, {proven}gap {solution.gap:.0e}", fontsize="medium")
    bare(ax)
axes[0].set(xlabel="x1, standardised", ylabel="x2, standardised")
axes[1].plot([], color=BLACK, linewidth=2, label="the best network")
axes[1].plot([], color=VERMILLION, linewidth=0.6, label="ten trained ones")
axes[1].legend(frameon=False, fontsize="small", loc="upper right")
axes[1].set(xlabel=f"{features[0]}, standardised", ylabel=f"{features[1]}, standardised")

# %%
# ``predict_proba``, several classes and cross-validation work as in scikit-learn: :class:`cellsolve.CellClassifier`.
# To make such a check part of a test suite, see :doc:`/testing`.
