"""
A budget of time
================

A thousand points with three inputs have 332 million cells. What can be had in a few seconds, and how far from the best
it is.
"""

import matplotlib.pyplot as plt
import numpy as np

import cellsolve as cs
from cellsolve.plotting import plot_convergence

rng = np.random.default_rng(0)
X = rng.uniform(-1, 1, (1000, 3))
y = np.sin(3 * X[:, 0]) * np.cos(2 * X[:, 1]) + X[:, 2] ** 2 + 0.1 * rng.standard_normal(1000)
cs.solve(X[:30], y[:30], lam=0.01)  # compiles, so that the times below are those of the solves

# %%
# The same problem three times. ``max_time`` ends a solve with the best network so far and the bound that was proven so
# far. No gap that is not proven is ever shown.

budgets = (0.5, 2, 60)
solutions = [cs.solve(X, y, lam=0.005, max_time=seconds) for seconds in budgets]
best = max(solution.lower_bound for solution in solutions)
print("max_time      status   took   objective  lower bound      gap   above the best bound")
for seconds, s in zip(budgets, solutions):
    values = f"{s.objective:11.8f} {s.lower_bound:12.8f} {s.gap:8.1e}   {s.objective / best - 1:.1e}"
    print(f"{seconds:6} s {s.status:>11} {s.time:4.1f} s {values}")

# %%
# The network is good long before that is known. In the first rounds neurons are searched where they pay most, and the
# bound is the crude one that costs nothing. Only when the search finds no better neuron does branch and bound over all
# neurons begin, and the gap falls by orders of magnitude at once. A solve that is cut off before shows a gap near 1,
# and says so, though its network may be close to the best already: how close, the last column above tells, with the
# bound of the longest solve.

figure, axes = plt.subplots(2, 2, figsize=(8.4, 5.2), layout="constrained", sharex="col", sharey="row")
for k in (0, 2):
    columns = axes[:, k // 2]
    plot_convergence(solutions[k], columns)
    columns[0].set_title(f"max_time={budgets[k]}", loc="left", fontsize="medium")
    print(f"max_time={budgets[k]}: {solutions[k].status.sentence}")
for ax in axes[:, 1]:
    ax.set_ylabel("")

# %%
# What was found in the short time is not lost: ``warm_start`` goes on from it.

later = cs.solve(X, y, lam=0.005, max_time=60, warm_start=solutions[0])
print(f"from the first of them: {later.status} after another {later.time:.1f} s, gap {later.gap:.0e}")

# %%
# How branch and bound gets through 332 million cells without listing them: :doc:`/oracle`. More cores, or more
# machines: :doc:`/cluster`. What may be done with a certificate, small or large: :doc:`/certificate`.
