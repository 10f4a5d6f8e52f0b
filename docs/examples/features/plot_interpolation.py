"""
Interpolants of least norm
==========================

Infinitely many networks go through nine points. Which one has the least norm, whether it is the only one, and how many
kinks it has, depends on the norm.
"""

import matplotlib.pyplot as plt
import numpy as np

import cellsolve as cs
from cellsolve.plotting.style import BLACK, BLUE, GREEN, ORANGE, PALE, bare

x = np.array([-2.0, -1.6, -1.1, -0.7, 0.0, 0.4, 0.9, 1.5, 2.0])
y = np.array([0.9, 0.2, -0.2, -0.3, 0.6, 1.1, 1.2, 0.8, -0.2])

# %%
# ``variation`` is the norm of weight decay on weights and biases, ``slope`` leaves the biases out, and
# ``label_noise`` is what de Dios and Bruna derive for gradient descent on noisy labels, but for a factor
# (:doc:`/gallery/papers/plot_label_noise`). A straight line costs nothing in any of them.

best = {name: cs.interpolate(x, y, penalty=name, free="affine") for name in ("variation", "slope", "label_noise")}
for name, solution in best.items():
    proof = "holds" if solution.certificate.verify(x, y) else "does not hold"
    print(f"{name:12} {solution.status}, gap {solution.gap:.0e}, misses y by {solution.residual:.0e}, proof {proof}")

# %%
# Each of the three in all three norms. On the diagonal is the least that any network through these points can have,
# of whatever width: no number of its column is smaller. That of ``slope`` is reached by all three.

print(f"{'least norm of':14}{'kinks':>6}" + "".join(f"{name:>14}" for name in best))
for name, solution in best.items():
    norms = "".join(f"{solution.measure.norm(other, x):14.6f}" for other in best)
    print(f"{name:14}{len(solution.measure.kinks()[0]):6}{norms}")

# %%
# Below the curves are their kinks, as tall as the jump of the slope. ``slope`` connects the dots, and any other
# interpolant whose jumps add up to as much would do as well. ``variation`` joins neighbouring bends of one sign in a
# kink between the points.

figure, axes = plt.subplots(4, 1, figsize=(7, 6.4), sharex=True, height_ratios=[4, 1, 1, 1], layout="constrained")
styles = zip(best.items(), (BLUE, ORANGE, GREEN), ("-", "--", ":"), axes[1:])
fine = np.linspace(-2.3, 2.3, 2000)
for (name, solution), colour, line, ax in styles:
    axes[0].plot(fine, solution.predict(fine), line, color=colour, linewidth=2, label=name)
    where, jumps = solution.measure.kinks()
    ax.vlines(where, 0, jumps, color=colour, linewidth=2.5)
    ax.plot(where, jumps, "o", color=colour, markersize=4)
    ax.axhline(0, color=BLACK, linewidth=0.6)
    unproven = "" if solution.status == "optimal" else f", not proven: gap {solution.gap:.0e}"
    ax.set_title(f"{name}: {len(where)} kinks{unproven}", loc="left", fontsize="small")
    ax.set_ylabel("jump")
axes[0].plot(x, y, "o", color=BLACK, markersize=5, label="data")
axes[0].set(ylabel="f(x)", xlim=(-2.3, 2.3))
axes[0].legend(frameon=False, fontsize="small")
axes[-1].set_xlabel("x")
for ax in axes:
    bare(ax)
    for place in x:
        ax.axvline(place, color=PALE, linewidth=0.7, zorder=0)

# %%
# Whether there is another interpolant of the same norm can be read off where the dual function touches its bound.

for name, solution in best.items():
    contact = cs.contact_set(solution, x, y)
    print(f"{name:12} the only one: {contact.unique}")

# %%
# Why the biases matter, and when the least norm is the sparsest, is on :doc:`/sparsity`; whether gradient descent
# finds these networks is asked on the pages on the papers.
