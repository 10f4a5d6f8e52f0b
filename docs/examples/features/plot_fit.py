"""
The best network of any width, with a proof
===========================================

Forty noisy points, the penalty of weight decay, and the network that no other beats, of whatever width.
"""

import matplotlib.pyplot as plt
import numpy as np

import cellsolve as cs
from cellsolve.plotting import plot_comparison, plot_fit, plot_neuron_space
from cellsolve.training import train_network

rng = np.random.default_rng(0)
x = np.sort(rng.uniform(-2, 2, 40))
y = np.sin(3 * x) + 0.2 * rng.standard_normal(40)

# %%
# The objective is the mean of :math:`(f(x_i)-y_i)^2/2` plus ``lam`` times the norm of the network, which is what
# weight decay on weights and biases amounts to.

solution = cs.solve(x, y, lam=0.003)
print(solution)

# %%
# The lower panel is the proof: the dual function of all neurons stays between -1 and 1, and touches at those that the
# network has. A verifier that shares no code with the solver checks it in exact arithmetic. (There are fewer kinks than
# neurons: at some of them two neurons sit, which face opposite ways.)

print("the proof holds:", solution.certificate.verify(x, y))
figure, axes = plt.subplots(2, 1, figsize=(6.4, 6.4), layout="constrained")
plot_fit(solution, x, y, axes[0])
plot_neuron_space(solution, x, y, axes[1])

# %%
# Beside gradient training
# ------------------------
# Networks of width 100, trained by Adam on exactly the same objective. The proven bound says how far each of them is
# from the best, which training alone never tells.

runs = [train_network(x, y, lam=0.003, steps=3000, random_state=seed) for seed in range(5)]
for seed, run in enumerate(runs):
    excess = cs.certify(run.measure, x, y, lam=0.003, certificate=solution).excess
    print(f"seed {seed}: objective {run.objective:.8f}, {excess:.1e} above the best of any width, proven")
plot_comparison(solution, {"Adam, width 100": runs})

# %%
# On one input all of this is a chain of kinks, solved in linear time: :doc:`/univariate`. What ``lam`` and the
# penalty do to the number of kinks: :doc:`/sparsity`.
