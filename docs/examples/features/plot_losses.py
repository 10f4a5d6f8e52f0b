"""
Losses: outliers and quantiles
==============================

Squared, Huber's, absolute and quantile losses all give the best network of any width, with a proof.
"""

import matplotlib.pyplot as plt
import numpy as np

import cellsolve as cs
from cellsolve.plotting.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILLION, bare

# %%
# Outliers
# --------
# A tenth of the points is off by 3. The squared loss goes after them; Huber's, which is linear beyond ``delta``, and
# the absolute loss hardly do. ``lam`` is the same for all three.

rng = np.random.default_rng(1)
x = np.sort(rng.uniform(-2, 2, 80))
truth = np.abs(x) - 1
y = truth + 0.1 * rng.standard_normal(80)
y[rng.choice(80, 8, replace=False)] += 3

losses = {"squared": "squared", "Huber, delta 0.2": cs.Huber(delta=0.2), "absolute": "absolute"}
fits = {name: cs.solve(x, y, lam=0.003, loss=loss) for name, loss in losses.items()}
for name, solution in fits.items():
    error = np.sqrt(np.mean((solution.predict(x) - truth) ** 2))
    neurons = f"{solution.measure.n_neurons:2} neurons"
    print(f"{name:17} {neurons}, {error:.3f} from the truth, {solution.status}, gap {solution.gap:.0e}")

# %%
# Quantiles
# ---------
# The noise grows to the right. Three fits of ``Quantile(q)`` tell where a tenth, a half and nine tenths of y are.
# Each is a problem of its own, so nothing keeps them from crossing where data are few.

t = np.sort(rng.uniform(0, 4, 300))
z = np.sin(2 * t) + 0.3 * t * rng.standard_normal(300)
bands = {q: cs.solve(t, z, lam=0.003, loss=cs.Quantile(q=q), free="affine") for q in (0.1, 0.5, 0.9)}
for q, solution in bands.items():
    below = np.mean(z <= solution.predict(t) + 1e-9)
    print(f"q = {q}: {below:.1%} of the points are below or on it, {solution.status}, gap {solution.gap:.0e}")

# %%
# On new draws of the same noise the shares are what counts (three hundred points place the lowest band a little low):

new = np.sin(2 * t) + 0.3 * t * rng.standard_normal((1000, 300))
print("new points below:", {q: f"{np.mean(new <= solution.predict(t)):.1%}" for q, solution in bands.items()})

figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.8), layout="constrained")
fine = np.linspace(-2, 2, 500)
axes[0].plot(x, y, "o", color=GREY, markersize=3)
axes[0].plot(fine, np.abs(fine) - 1, color=BLACK, linewidth=1, label="truth")
for (name, solution), colour, line in zip(fits.items(), (VERMILLION, ORANGE, BLUE), ("-", "-", "--")):
    axes[0].plot(fine, solution.predict(fine), line, color=colour, linewidth=1.8, label=name)
fine = np.linspace(0, 4, 500)
axes[1].plot(t, z, "o", color=GREY, markersize=2.5, alpha=0.6)
for (q, solution), colour in zip(bands.items(), (GREEN, BLACK, PURPLE)):
    axes[1].plot(fine, solution.predict(fine), color=colour, linewidth=1.8, label=f"q = {q}")
for ax, solutions in zip(axes, (fits, bands)):
    gap = max(solution.gap for solution in solutions.values())
    proven = all(solution.status == "optimal" for solution in solutions.values())
    ax.set_title(f"{'every gap proven' if proven else 'NOT all proven'}: at most {gap:.0e}", loc="right", fontsize=9)
    ax.set(xlabel="x", ylabel="y")
    ax.legend(frameon=False, fontsize="small")
    bare(ax)

# %%
# A loss of your own is a class: :doc:`/house`. One that is convex, and needs no certificate, can be put together in
# cvxpy: :doc:`/constraints`.
