"""
A path in lam, and cross-validation
===================================

How much to penalise: twelve solutions from no neuron to many, each proven, and the one that folds of the data choose.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_wine
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import cellsolve as cs
from cellsolve.plotting import plot_path
from cellsolve.plotting.style import BLUE, GREY, VERMILLION, bare

# %%
# How dark a wine is, from its flavanoids and its hue: 178 wines of three cultivars. A third of the rows is held out,
# and the others set the scale.

wines = load_wine().data
split = train_test_split(wines[:, [6, 10]], wines[:, [9]], test_size=1 / 3, random_state=0)
inputs, outputs = StandardScaler().fit(split[0]), StandardScaler().fit(split[2])
X, X_test = (inputs.transform(part) for part in split[:2])
y, y_test = (outputs.transform(part)[:, 0] for part in split[2:])

# %%
# The path
# --------
# ``path`` goes down from the smallest ``lam`` that leaves no neuron, each solve starting from the one before. The loss,
# half of the squared error, falls all the way on the rows of the fit. On the others it falls with the first neurons,
# and then no more.

solutions = cs.path(X, y, free="affine", n_lams=12, lam_min_ratio=0.01)
print(f"{len(solutions)} solutions, {sum(s.status == 'optimal' for s in solutions)} of them proven optimal,", end=" ")
print(f"largest gap {max(s.gap for s in solutions):.0e}")
axes = plot_path(solutions, X, y, held_out=(X_test, y_test))

# %%
# The folds' choice
# -----------------
# ``CellRegressorCV`` is a scikit-learn estimator, here the last step of a pipeline that scales features and target.
# ``lam`` goes with the scale of the target: one for a target of size 1 is far too small for one of size 100.

folds = KFold(5, shuffle=True, random_state=0)
search = cs.CellRegressorCV(lams=[s.lam for s in solutions], free="affine", cv=folds, scoring="neg_mean_squared_error")
model = TransformedTargetRegressor(make_pipeline(StandardScaler(), search), transformer=StandardScaler())
model.fit(split[0], split[2][:, 0])
chosen = model.regressor_[-1]

line = RidgeCV().fit(X, y)
print(f"chosen: lam {chosen.lam_:.2g}, {chosen.measure_.n_neurons} neurons, gap {chosen.certificate_.gap:.0e}")
print(
    f"R2 on held-out rows: {model.score(split[1], split[3]):.3f}, of a straight line {line.score(X_test, y_test):.3f}"
)

# %%
# Sparsity against error
# ----------------------
# Every dot is a point of the path: how many neurons it has, and its error on the folds. Bars are one standard error of
# the five folds. They are as long as the differences between two neurons and twenty, so the folds' choice is not to be
# taken at its word: on the held-out rows two neurons do as well. All of them are proven optimal, so none of this is
# left to the optimiser.

neurons = [solution.measure.n_neurons for solution in solutions]
errors, spread = -chosen.cv_scores_.mean(axis=1), chosen.cv_scores_.std(axis=1, ddof=1) / np.sqrt(5)
test = [np.mean((solution.predict(X_test) - y_test) ** 2) for solution in solutions]
best = chosen.best_index_

figure, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
ax.errorbar(neurons, errors, spread, fmt="o", color=BLUE, markersize=4, linewidth=1, label="five folds")
ax.plot(neurons, test, "s", color=VERMILLION, markersize=4, label="held-out rows")
ax.plot(neurons[best], errors[best], "o", markersize=12, fillstyle="none", color=BLUE, label="chosen")
ax.axhline(np.mean((line.predict(X_test) - y_test) ** 2), color=GREY, linestyle="--", label="ridge, held-out rows")
ax.set_xscale("symlog", linthresh=1)
ax.set_xticks([0, 1, 3, 10, 30], ["0", "1", "3", "10", "30"])
ax.set(xlim=(-0.1, None), xlabel="neurons", ylabel="mean squared error, in variances of the target")
ax.legend(frameon=False, fontsize="small")
bare(ax)

# %%
# One input along the path, with kinks counted: :doc:`/sparsity`. The other estimators: :doc:`/tutorial`.
