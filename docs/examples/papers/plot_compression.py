"""
Compressing a trained layer
===========================

Weight decay leaves more neurons than a layer needs. Parhi and his co-authors drop them by a convex program, the
multitask lasso of the next layer's inputs, and report for a VGG-19 on CIFAR-10 that 47 of the 512 neurons of its last
hidden layer do the work of all, at an accuracy of 93.88 in place of 93.92 percent. Here the same is done to a network
trained on scikit-learn's digits, with the gap of every convex program proven.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import cellsolve as cs
from cellsolve.plotting.style import BLUE, GREY, ORANGE, VERMILLION, bare

torch.manual_seed(0)
torch.set_num_threads(1)
X, y = load_digits(return_X_y=True)
split = train_test_split(X / 16, y, test_size=0.25, random_state=0, stratify=y)
X, test = torch.tensor(split[0]).float(), torch.tensor(split[1]).float()
y, test_y = torch.tensor(split[2]), torch.tensor(split[3])

hidden = [nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU()]
network = nn.Sequential(*hidden, nn.Linear(512, 10))
optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-3)
for _ in range(60):
    for rows in torch.randperm(len(X)).split(64):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(X[rows]), y[rows]).backward()
        optimizer.step()


def judged(module):
    """Test accuracy in percent, and the training loss."""
    with torch.no_grad():
        accuracy = 100 * (module(test).argmax(1) == test_y).double().mean().item()
        return accuracy, nn.functional.cross_entropy(module(X), y).item()


# %%
# Two lines
# ---------
# ``compress_layer`` takes the network, the name of the layer that reads the neurons ("4" is the last one here) and the
# data. It returns a copy without the neurons that are not needed.

small = cs.compress_layer(network, "4", X, max_error=0.05)
print(small)
print(small.module)

# %%
# Their table, for this network. The middle layer is compressed in the same way, after the last one: its neurons
# now have fewer readers.

both = cs.compress_layer(small.module, "2", X, max_error=0.05)
print(f"gaps proven to {max(small.compression.gap, both.compression.gap):.0e}")
print(f"{'':22}{'neurons':>12}{'test accuracy':>16}{'train loss':>13}")
for name, module in (("original", network), ("last layer compressed", small.module), ("both compressed", both.module)):
    widths = f"{module[0].out_features}, {module[2].out_features}"
    print(f"{name:22}{widths:>12}{judged(module)[0]:15.2f}%{judged(module)[1]:13.4f}")

# %%
# How many neurons, at what accuracy
# ----------------------------------
# Along a path of lam. The weights that the lasso keeps are shrunk, and fitted anew without a penalty they do more with
# fewer neurons; the dashed line is the network itself. Each point is a convex program with a proven gap.

lams = np.geomspace(2.0, 1e-3, 13)
paths = {refit: [cs.compress_layer(network, "4", X, lam=lam, refit=refit) for lam in lams] for refit in (True, False)}
proven = max(point.compression.gap for path in paths.values() for point in path)

accuracy, loss = judged(network)
figure, axes = plt.subplots(1, 2, figsize=(9.4, 3.6), layout="constrained")
for refit, colour, label in ((False, ORANGE, "as the lasso has them"), (True, BLUE, "fitted anew")):
    kept = [point.n_kept for point in paths[refit]]
    axes[0].plot(kept, [judged(point.module)[0] for point in paths[refit]], "o-", color=colour, label=label, ms=4)
    axes[1].plot(kept, [point.error for point in paths[refit]], "o-", color=colour, label=label, ms=4)
axes[0].axhline(accuracy, color=GREY, ls="--", lw=1, label="all 512")
axes[0].set(xlabel="neurons kept, of 512", ylabel="test accuracy (%)", ylim=(80, 100))
axes[1].set(xlabel="neurons kept, of 512", ylabel="relative error of the outputs", yscale="log")
axes[1].set_title(f"every gap proven to {proven:.0e}", loc="right", fontsize=9, color=GREY)
axes[0].legend(frameon=False, loc="lower right")
for ax in axes:
    bare(ax)

# %%
# How many the theory allows
# --------------------------
# Some optimum has at most rank(features) x rank(outputs) neurons. The bound is far from tight, also for few samples and
# outputs that must be exact. Standard Gaussian features of 500 neurons and 10 outputs, as in the experiment of
# Shenouda, Parhi, Lee and Nowak (2023): the mean number of neurons of the optimum beside the counts that they publish
# (34.4, 82.3, 126.8 and 167.9), and the bound 10 N.

rng = np.random.default_rng(0)
counts, gaps = {}, []
for N in (10, 20, 30, 40):
    draws = [cs.compress(rng.standard_normal((N, 500)), rng.standard_normal((N, 10)), tol=1e-8) for _ in range(12)]
    counts[N] = [draw.n_kept for draw in draws]
    gaps += [draw.gap for draw in draws]
print("neurons:", ", ".join(f"{np.mean(count):.1f} of {N} samples" for N, count in counts.items()))

figure, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
ax.plot(list(counts), [10 * N for N in counts], color=GREY, ls="--", label="rank bound")
ax.errorbar(
    list(counts),
    [np.mean(count) for count in counts.values()],
    [2 * np.std(count) / np.sqrt(12) for count in counts.values()],
    fmt="o",
    color=BLUE,
    capsize=3,
    label="optimum, 12 draws, two standard errors",
)
ax.plot(list(counts), [34.4, 82.3, 126.8, 167.9], "x", color=VERMILLION, ms=8, label="as published")
ax.set(xlabel="samples N", ylabel="neurons kept, of 500", xticks=list(counts), ylim=(0, 420))
ax.legend(frameon=False, loc="upper left")
ax.set_title(f"every gap proven to {max(gaps):.0e}", loc="right", fontsize=9, color=GREY)
bare(ax)

# %%
# How long it takes
# -----------------
# Neurons of a trained layer are much alike, which makes first-order methods slow (:doc:`figures </compression>`).
# Newton's method on the neurons' scales does not see the difference.

with torch.no_grad():
    features = network[:4](X).double().numpy()
    outputs = features @ network[4].weight.double().numpy().T
for lam in (1.0, 0.1, 0.01, 0.001):
    start = time.perf_counter()
    compression = cs.compress(features, outputs, lam=lam)
    seconds = time.perf_counter() - start
    print(f"lam {lam:5}: {compression.n_kept:3} neurons, gap {compression.gap:.0e}, {seconds:.2f} s")

# %%
# The mathematics, and a comparison with scikit-learn's MultiTaskLasso, are on the page on :doc:`compression
# </compression>`.
