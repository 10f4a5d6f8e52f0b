"""
Weight normalisation: sparse vectors from larger first weights
==============================================================

A diagonal linear network :math:`x = u^{\\odot L}`, trained by gradient descent on
:math:`\\tfrac12 \\|Ax - b\\|^2` with fewer equations than unknowns, ends near the solution of least
:math:`\\ell_1` norm, but only from very small first weights. Chou, Rauhut and Ward (2023) write the weights in polar
coordinates, :math:`u = r \\hat u`, and let the radius learn more slowly than the direction. Then, they find, first
weights of ordinary size will do. All of their five figures are computed here, beside the :math:`\\ell_1` program.

Why it works can be said in two ways. Along the flow :math:`\\hat u\\, e^{r^2 / 2 \\tilde\\eta}` behaves as
:math:`u` does without normalisation, with :math:`\\tilde\\eta` the rate of the radius over that of the direction. So
the flow ends where plain descent would have ended from weights that were smaller by the *magnification*

.. math:: \\rho = \\frac{r_0}{r} \\exp\\Bigl(\\frac{r^2 - r_0^2}{2 \\tilde\\eta}\\Bigr),

which is exponential in :math:`1 / \\tilde\\eta`. And for :math:`L = 2`, where :math:`r^2 = \\|x\\|_1`, a radius
that moves slowly leaves the direction time to become the best of its length: the flow follows the path of the lasso.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np

from cellsolve.plotting.style import BLACK, BLUE, GREEN, GREY, ORANGE, SKY, VERMILLION, bare
from cellsolve.training import basis_pursuit, train_diagonal

N, M, RATIO = 60, 30, 0.05


def system(seed, signed=False):
    """Return a Gaussian matrix, what it measures of a vector with entries 1, 2 and 3, and that vector."""
    rng = np.random.default_rng(seed)
    A, x = rng.standard_normal((M, N)) / np.sqrt(M), np.zeros(N)
    x[rng.choice(N, 3, replace=False)] = np.array([1, 2, 3]) * (rng.choice([-1, 1], 3) if signed else 1)
    return A, A @ x, x


A, b, x = system(0)
by_program = basis_pursuit(A, b, nonnegative=True)
print(f"30 equations, 60 unknowns; the l1 program misses x by {np.linalg.norm(by_program - x):.0e}")


def final_error(system, u, steps=30_000, **options):
    """Return the relative error after at most that many steps."""
    A, b, x = system
    run = train_diagonal(A, b, init_scale=u, steps=steps, tol=1e-16, target=x, **options)
    return run.history["error"][-1] / np.linalg.norm(x)


def mean_errors(system, scales, draws=3, **options):
    """Return for each scale the mean error over random first weights, uniform between half and one and a half of it."""
    first = np.random.default_rng(0).uniform(0.5, 1.5, (draws, N))
    return np.array([np.mean([final_error(system, scale * u, **options) for u in first]) for scale in scales])


# %%
# Which first weights are small enough?
# -------------------------------------
# The step size adapts, by one factor for both rates, so that the steps follow the flow. On the left the error
# against the size :math:`\alpha` of the first weights. Plain descent gains about one digit where the weights lose one.
# With normalisation their size hardly matters as long as their radius is below that of the solution: the dotted line
# is :math:`\alpha = \sqrt{\|x\|_1 / N}`. There the radius has no way to grow, and beyond it
# normalisation does harm. On the right the ratio of the two errors. At :math:`\alpha = 0.1` it is above the
# :math:`10^5` that the paper reports. The normalised error is where the loss meets its tolerance, :math:`10^{-8}`;
# what is left above it, here and below, is a matter of steps.

scales = np.append(np.geomspace(1e-3, 1, 13), 2.0)
threshold = np.sqrt(np.abs(x).sum() / N)


def compare(system, signed=False):
    """Draw the error and the improvement against the scale."""
    plain = mean_errors(system, scales, signed=signed)
    normalised = mean_errors(system, scales, signed=signed, weight_normalisation=True, lr_ratio=RATIO)
    axes = plt.subplots(1, 2, figsize=(7.6, 3.3), layout="constrained")[1]
    axes[0].plot(scales, plain, "o-", color=GREY, markersize=4, label="plain descent")
    axes[0].plot(scales, normalised, "o-", color=BLUE, markersize=4, label="weight normalisation")
    axes[1].plot(scales, plain / normalised, "o-", color=BLACK, markersize=4)
    axes[1].axhline(1, color=GREY, linewidth=1)
    axes[1].plot(0.1, 1e5, "*", color=VERMILLION, markersize=11, label="the paper: more than this")
    line = threshold / np.sqrt(2) if signed else threshold
    for ax, label in zip(axes, ("relative error in x", "improvement: ratio of the errors")):
        ax.axvline(line, color=BLACK, linewidth=1, linestyle=":")
        ax.set(xscale="log", yscale="log", xlabel="scale α of the first weights", ylabel=label)
        bare(ax)
    axes[0].legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(0.0, 0.35))
    axes[1].legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0.0, 0.14))
    plt.show()
    for scale in (0.1, 1.0):
        at = np.argmin(np.abs(scales - scale))
        ratio = plain[at] / normalised[at]
        print(f"alpha = {scales[at]:.3g}: plain {plain[at]:.1e}, normalised {normalised[at]:.1e}, ratio {ratio:.1e}")


compare((A, b, x))

# %%
# Along the steps
# ---------------
# Now gradient descent with constant rates, each about half of the largest stable one, from weights that are all 0.1.
# Plain descent is near some interpolant after a hundred steps, far from the sparse vector, and stays there while its
# loss goes on to fall. With normalisation the loss waits for the radius, which is slow. Then it falls, and the error
# with it, and it meets the tolerance long before.

fig, axes = plt.subplots(1, 2, figsize=(7.6, 3.3), layout="constrained", sharex=True)
for label, colour, options in (
    ("plain descent", GREY, {"lr": 0.1}),
    ("weight normalisation", BLUE, {"lr": 0.025, "weight_normalisation": True, "lr_ratio": RATIO}),
):
    run = train_diagonal(A, b, init_scale=0.1, steps=300_000, tol=1e-16, target=x, **options)
    step = run.history["step"][1:]
    axes[0].plot(step, run.history["error"][1:] / np.linalg.norm(x), color=colour, label=label)
    axes[1].plot(step, run.history["loss"][1:], color=colour)
    loss, l1 = (run.history[name][-1] for name in ("loss", "l1"))
    print(f"{label}: {run.steps} steps, {run.status}, loss {loss:.0e}, l1 norm {l1:.8f}")
for ax, label in zip(axes, ("relative error in x", "loss")):
    ax.set(xscale="log", yscale="log", xlabel="steps", ylabel=label)
    bare(ax)
axes[0].legend(frameon=False, fontsize="small")
plt.show()

# %%
# The ratio of the rates
# ----------------------
# As the paper says: the smaller the ratio, the smaller the error, and a ratio of 10 is no better than plain descent (it
# is four times worse).
# The formula for :math:`\rho` says why. It is above 1 only for a ratio below the logarithmic mean of :math:`r_0^2` and
# :math:`r^2`, the dotted line. The crosses are plain descent from :math:`u_0 / \rho`: as it should, it ends where
# the normalised one does. Hollow dots are runs that half a million steps do not bring to the tolerance; more steps
# lower them further.

ratios = np.geomspace(10, 0.03, 12)
fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
normalised, divided, done = [], [], []
for ratio in ratios:
    options = {"weight_normalisation": True, "lr_ratio": ratio}
    run = train_diagonal(A, b, init_scale=0.1, steps=500_000, tol=1e-16, **options)
    normalised.append(np.linalg.norm(run.x - x) / np.linalg.norm(x))
    smaller = train_diagonal(A, b, init_scale=0.1 / run.magnification, steps=500_000, tol=1e-16)
    done.append(run.status == "converged")
    divided.append(np.linalg.norm(smaller.x - x) / np.linalg.norm(x))
plain = final_error((A, b, x), 0.1)
first, last = 0.01 * N, np.abs(x).sum()
done, normalised = np.array(done), np.array(normalised)
ax.plot(ratios, normalised, color=BLUE)
ax.plot(ratios[done], normalised[done], "o", color=BLUE, markersize=4, label="weight normalisation")
ax.plot(ratios[~done], normalised[~done], "o", color=BLUE, markersize=4, fillstyle="none", label="not at its end")
ax.plot(ratios, divided, "x", color=ORANGE, label="plain descent from weights over ρ")
ax.axhline(plain, color=GREY, label="plain descent")
ax.axvline((last - first) / np.log(last / first), color=BLACK, linewidth=1, linestyle=":")
ax.set(xscale="log", yscale="log", xlabel="rate of the radius over rate of the direction", ylabel="relative error in x")
ax.legend(frameon=False, fontsize="small", loc="center left")
bare(ax)
plt.show()
print("ratio  normalised  plain from u0 / rho")
for row in zip(ratios, normalised, divided):
    print("{:5.2f}  {:10.1e}  {:10.1e}".format(*row))

# %%
# Depth two and three
# -------------------
# The paper finds normalisation better for both depths, and that three layers need smaller first weights. Here it is
# better for both from 0.01 to 0.3, above all for two layers, because three come nearer to the sparse vector even
# without it. Smaller first weights they do not need: up to 0.56 the error of three layers is below that of two, and the
# scale from which normalisation harms is the same. (Where the entries of x are well above 1 it is lower, as the radius
# of the solution is the root of :math:`\sum_i x_i^{2/L}`.) On the left both normalised curves are level, as smaller
# first weights do not help there; more on that below.
#
# The ratio of the rates is 0.5 for both. A smaller one makes three layers slow: weights over :math:`\rho` have to grow
# back, and with three layers this takes a time in proportion to :math:`\rho`, with two its logarithm.

fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
some = np.geomspace(1e-2, 1, 9)
for depth, dark, pale, style in ((2, BLUE, GREY, "o-"), (3, GREEN, SKY, "s--")):
    for colour, label, options in (
        (pale, "plain", {}),
        (dark, "normalised", {"weight_normalisation": True, "lr_ratio": 0.5}),
    ):
        errors = mean_errors((A, b, x), some, depth=depth, steps=300_000, **options)
        ax.plot(some, errors, style, color=colour, markersize=4, label=f"L = {depth}, {label}")
        print(f"L = {depth}, {label}: " + " ".join(f"{error:.0e}" for error in errors))
ax.set(xscale="log", yscale="log", xlabel="scale α of the first weights", ylabel="relative error in x")
ax.legend(frameon=False, fontsize="small", loc="lower right")
bare(ax)
plt.show()

# %%
# Vectors of both signs
# ---------------------
# :math:`x = u^{\odot 2} - v^{\odot 2}` is the same network for the matrix :math:`(A, -A)`, with one radius for u and v
# together, which begins :math:`\sqrt2` times as large. Below the dotted line the gain is as large as it was; beyond it
# both are equally far from x.

compare(system(0, signed=True), signed=True)

# %%
# What small weights do not do
# ----------------------------
# Two things follow from the formulas that one would not guess. For ever smaller first weights the normalised flow does
# not tend to the least :math:`\ell_1` norm: :math:`u_0 / \rho` tends to
# :math:`r \hat u_0 e^{-r^2 / 2\tilde\eta}`, which the ratio alone makes small. With the ratio 1 plain descent is better
# from 0.01 down.
#
# And where :math:`\langle A x_0, b\rangle < 0` the radius first shrinks. If :math:`r_0` is small beside the ratio it
# mostly shrinks to zero, a saddle that the normalised flow never leaves. Plain descent has no such trap, and neither
# has the signed network from :math:`u_0 = v_0`.

print("alpha  plain  ratio 1  ratio 0.05")
for scale in (0.1, 0.01, 0.001):
    options = [{}, {"weight_normalisation": True, "lr_ratio": 1.0}, {"weight_normalisation": True, "lr_ratio": RATIO}]
    print(f"{scale:5g}  " + "  ".join(f"{final_error((A, b, x), scale, **option):.1e}" for option in options))

negative, collapsed = 0, 0
for seed in range(200):
    A, b, x = system(seed)
    if np.sum(A, axis=1) @ b < 0:
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # it says that the radius is lost
            run = train_diagonal(A, b, init_scale=1e-3, weight_normalisation=True, lr_ratio=1.0, steps=150_000)
        negative, collapsed = negative + 1, collapsed + (run.status == "collapsed")
print(f"<A x0, b> < 0 in {negative} of 200 systems, of which {collapsed} collapse from alpha = 0.001 with ratio 1")
