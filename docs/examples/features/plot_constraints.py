"""
Constraints of your own: monotone and concave
=============================================

``cellsolve.programs`` hands out the convex program as cvxpy objects. What else is known of the function goes in as
constraints, and a network that fulfils them comes out.
"""

import cvxpy as cp
import matplotlib.pyplot as plt
import numpy as np

import cellsolve as cs
from cellsolve.plotting.style import BLACK, BLUE, GREY, ORANGE, VERMILLION, bare

rng = np.random.default_rng(4)
x = np.sort(rng.uniform(0, 4, 40))
y = np.log1p(3 * x) + 0.25 * rng.standard_normal(40)
lam = 2e-4

# %%
# Forty noisy measurements of something that grows, ever more slowly. The best network of any width at this ``lam``
# follows the noise up and down.

unconstrained = cs.solve(x, y, lam=lam, free="affine")
print(unconstrained)

# %%
# Monotone and concave
# --------------------
# Between its kinks a network of one input is straight. So its slopes are differences of its values at the kinks and at
# one point beyond them on each side, and finitely many inequalities hold everywhere. The kinks are chosen in advance:
# those of the fit above, the data points, and a grid.

kinks = np.unique(np.concatenate([unconstrained.measure.kinks()[0], x, np.linspace(x[0], x[-1], 101)]))
right = np.column_stack([np.ones_like(kinks), -kinks])
program = cs.programs.l1(x, y, neurons=np.vstack([right, -right]), lam=lam, free="affine")

places = np.concatenate([[kinks[0] - 1], kinks, [kinks[-1] + 1]])
slopes = cp.multiply(cp.diff(program.predict(places)), 1 / np.diff(places))
asked = {"increasing": [slopes >= 0], "increasing and concave": [slopes >= 0, cp.diff(slopes) <= 0]}
networks = {"no constraint": unconstrained.measure}
for name, constraints in asked.items():
    program.solve(constraints=constraints)
    networks[name] = program.measure().prune(x)

# %%
# Constraints only raise the optimum, so the proven bound of the problem without them is a bound with them. It says what
# the constraints and the choice of kinks can have cost at most, together.

fine = np.linspace(-1, 5, 6001)
excess = {}
for name, network in networks.items():
    certificate = cs.certify(network, x, y, lam=lam, free="affine", certificate=unconstrained)
    steps = np.diff(network.predict(fine)) / np.diff(fine)
    excess[name] = certificate.excess
    shape = f"least slope {steps.min():.4f}, largest growth of the slope {np.diff(steps).max():.4f}"
    print(f"{name}: objective {certificate.objective:.6f}, at most {certificate.excess:.2%} above the bound; {shape}")

figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.8), layout="constrained", sharey=True)
fine = np.linspace(x[0], x[-1], 2000)
for ax, (name, colour) in zip(axes, (("increasing", BLUE), ("increasing and concave", VERMILLION))):
    ax.plot(x, y, ".", color=GREY, label="data")
    ax.plot(fine, np.log1p(3 * fine), color=BLACK, linestyle=":", linewidth=1, label="truth")
    ax.plot(fine, unconstrained.predict(fine), color=ORANGE, linewidth=1, label="no constraint")
    ax.plot(fine, networks[name].predict(fine), color=colour, linewidth=2, label=name)
    ax.set_title(f"at most {excess[name]:.1%} above the bound without the constraint", fontsize="small", loc="right")
    ax.set(xlabel="x")
    ax.legend(frameon=False, fontsize="small", loc="lower right")
    bare(ax)
axes[0].set_ylabel("y")
for name, network in networks.items():
    print(f"{name}: error against the truth {np.sqrt(np.mean((network.predict(fine) - np.log1p(3 * fine)) ** 2)):.3f}")

# %%
# Constraints on the data only, such as bounds on the fitted values, can be met by the best network of any width, with
# no neurons chosen in advance: ``programs.group_lasso``. That, and losses of your own: :doc:`/constraints`.
