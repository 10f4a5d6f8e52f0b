"""
Two features: surface, cells and neurons
========================================

The best network on eighty points of the plane, where its folds lie, and the sphere of all neurons with the proof on it.
"""

import matplotlib.pyplot as plt
import numpy as np

import cellsolve as cs
from cellsolve.plotting import plot_neuron_space, plot_surface

rng = np.random.default_rng(0)
X = rng.uniform(-1, 1, size=(80, 2))
y = np.abs(X[:, 0]) - np.maximum(X[:, 1], 0) + 0.1 * rng.standard_normal(80)

solution = cs.solve(X, y, lam=0.003)
print(solution)

# %%
# The surface is a plane between the white folds, where neurons switch on. The data have one fold along each axis, and
# noise.

figure, ax = plt.subplots(figsize=(6.4, 5), layout="constrained")
plot_surface(solution, X, y, ax)

# %%
# A neuron is a line with a side, and two lines that part the points in the same way are in the same cell. There are
# thousands of ways, of which the solver has a small part in its program.

cells = cs.enumerate_cells(X)
most = max(step.cells for step in solution.history)
print(f"{cells}\n{most} of them in the program at most, {len(solution.history)} rounds")

# %%
# Most neurons of the solution are on borders of cells: their folds go through data points, as kinks do on one input.

lifted = np.column_stack([X, np.ones(80)])
responses = lifted @ (solution.measure.neurons / np.linalg.norm(solution.measure.neurons, axis=1, keepdims=True)).T
print(f"{'weight':>9}{'points on the fold':>20}{'points where it is active':>27}")
for weight, response in zip(solution.measure.weights, responses.T):
    on = np.abs(response) < 1e-9
    print(f"{weight:+9.4f}{np.sum(on):20}{np.sum((response > 0) & ~on):27}")

# %%
# Every neuron of every width is a point of this sphere, drawn as two hemispheres, and every data point is a great
# circle. The colour is the dual function: as it stays within -1 and 1, no network is better, and as the neurons
# (black) sit where it reaches them, this network is the best.

figure, ax = plt.subplots(figsize=(8.4, 4.6), layout="constrained")
plot_neuron_space(solution, X, y, ax)
contact = cs.contact_set(solution, X, y)
print(f"the dual function touches its bound at {len(contact.neurons)} places")
print("the only best network:", contact.unique)

# %%
# What a cell is, and how all of them are found, is on :doc:`/cells`; how a bound over the whole sphere is proven
# without a list of cells on :doc:`/oracle`.
