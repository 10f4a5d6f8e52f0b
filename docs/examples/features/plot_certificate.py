"""
The proof, and what it catches
==============================

A solve returns a certificate: a few numbers that prove a bound for all networks of any width. Who has them needs
neither the solver nor trust in it.
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

import cellsolve as cs
from cellsolve.plotting.style import BLACK, BLUE, GREY, VERMILLION, bare
from cellsolve.training import train_network

rng = np.random.default_rng(0)
x = np.sort(rng.uniform(-2, 2, 30))
y = np.abs(x) - 0.5 + 0.1 * rng.standard_normal(30)
problem = cs.Problem(x, y, lam=0.003)
solution = cs.solve(problem)
certificate = solution.certificate
print(certificate)

# %%
# Why a few numbers are enough
# ----------------------------
# One number :math:`\alpha_i` a data point makes a dual function
# :math:`\varphi_\alpha(\theta)=\sum_i\alpha_i\max(\langle \theta,\tilde x_i\rangle,0)`. If it stays between
# :math:`\pm\lambda w(\theta)`, no network of any width has an objective below :math:`\langle\alpha,y\rangle-\frac
# n2\|\alpha\|^2`. If it does not, :math:`\alpha` can be scaled down until it does. The residuals of a network, divided
# by n, are such numbers. Those of the best network prove its own optimality. Those of one that was trained for a while
# prove less, so it seems further from the best than it is.

trained = train_network(problem, steps=150, random_state=2)
vectors = {"the certificate": certificate.alpha, "the residuals of a trained network": (y - trained.predict(x)) / 30}
angle = np.linspace(-180, 180, 20_001)
theta = np.column_stack([np.cos(np.radians(angle)), np.sin(np.radians(angle))])

figure, ax = plt.subplots(figsize=(7.2, 4.0), layout="constrained")
for (name, alpha), colour in zip(vectors.items(), (BLUE, VERMILLION)):
    ratio = problem.responses(theta).T @ alpha / (problem.lam * problem.neuron_costs(theta))
    scaled = alpha / max(1, np.abs(ratio).max())  # by a grid of neurons: for the picture, not for a proof
    bound = scaled @ y - 15 * scaled @ scaled
    ax.plot(angle, ratio, color=colour, linewidth=1.5, label=f"{name}: bound {bound:.6f}")
    print(f"by {name}, the trained network is {trained.objective / bound - 1:.1%} above the best, or less")
for level in (-1, 1):
    ax.axhline(level, color=BLACK, linestyle="--", linewidth=1)
title = f"objectives: best {solution.objective:.6f}, trained {trained.objective:.6f}"
ax.set_title(title, fontsize="small", loc="left")
ax.set(xlabel="angle of the neuron (a, b), degrees", ylabel=r"$\varphi_\alpha(\theta)\;/\;\lambda\,w(\theta)$")
ax.set(xlim=(-180, 180), xticks=range(-180, 181, 90), ylim=(-1.15, 1.7))
ax.legend(frameon=False, fontsize="small", loc="upper left")
bare(ax)

# %%
# Tampered with
# -------------
# The verifier shares no code with the solver, and decides in integers and fractions. It is given the data and what is
# claimed of them.

alpha, other = certificate.alpha.copy(), y.copy()
alpha[7] += 1e-3
other[7] += 1e-3
claims = {
    "as it is": (certificate, y),
    "bound raised by a billionth": (replace(certificate, lower_bound=certificate.lower_bound * (1 + 1e-9)), y),
    "supremum lowered by a billionth": (replace(certificate, supremum=certificate.supremum * (1 - 1e-9)), y),
    "one number of alpha changed": (replace(certificate, alpha=alpha), y),
    "one target changed": (certificate, other),
}
for name, (claim, targets) in claims.items():
    verdict = claim.check(x, targets)
    print(f"{name:32s} {verdict.ok!s:5}  {verdict.reason}")

# %%
# A network can be tampered with too. Its objective is computed again from its values, so a changed weight shows as
# excess. And values that no network of the claimed norm can have are refused.

weights = solution.measure.weights.copy()
weights[0] *= 1.05
changed = replace(solution.measure, weights=weights)
print(f"one weight 5 % larger: {cs.certify(changed, problem, certificate=solution).excess:.2%} above the best, proven")
try:
    cs.certify(solution.predict, problem, norm=0.9 * solution.measure.norm(), certificate=solution)
except ValueError as error:
    print("norm understated by 10 %:", error)

# %%
# How small a lie is caught? Each dot is one claim, that the bound is higher than it is by a factor of
# :math:`1+\epsilon`. Those that are accepted are no lies: there :math:`1+\epsilon` is 1 in floating point.

lies = np.geomspace(1e-18, 1e-3, 31)
claims = [replace(certificate, lower_bound=certificate.lower_bound * (1 + lie)) for lie in lies]
caught = np.array([not claim.verify(x, y) for claim in claims])
figure, ax = plt.subplots(figsize=(6.4, 2.2), layout="constrained")
ax.plot(lies[caught], np.ones(caught.sum()), "o", color=VERMILLION)
ax.plot(lies[~caught], np.zeros((~caught).sum()), "o", color=BLUE)
ax.axvline(np.finfo(float).eps / 2, color=GREY, linestyle=":")
ax.text(1.3 * np.finfo(float).eps / 2, 0.5, "half the distance from 1 to the next float", fontsize="small", va="center")
ax.set(xscale="log", xlabel=r"exaggeration $\epsilon$", ylim=(-0.4, 1.4))
ax.set_yticks([0, 1], ["accepted", "refused"])
bare(ax)

# %%
# What is in the file, and what one has to trust: :doc:`/certificate`. As a test of training code, with a stored
# certificate: :doc:`/testing`.
