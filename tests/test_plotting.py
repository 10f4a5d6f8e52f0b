"""What the pictures show, read from their artists."""

import dataclasses

import numpy as np
import pytest

import cellsolve as cs

plt = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is an extra")
from cellsolve import plotting  # noqa: E402
from cellsolve.plotting import neuron_space  # noqa: E402


@pytest.fixture(autouse=True)
def close_figures():
    """Draw every figure once, so that what only fails then fails here, and close it."""
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


@pytest.fixture(scope="module")
def line():
    x = np.linspace(-1, 1, 11)
    y = np.abs(x) + 0.05 * np.cos(9 * x)
    return x, y, cs.solve(x, y, lam=1e-2)


@pytest.fixture(scope="module")
def plane():
    X = np.random.default_rng(0).standard_normal((15, 2))
    y = np.maximum(X @ [1.0, -0.5] + 0.2, 0)
    return X, y, cs.solve(X, y, lam=1e-2)


def labelled(ax):
    return dict(zip(*ax.get_legend_handles_labels()[::-1]))


def unproven(solution):
    return dataclasses.replace(solution, status=cs.Status.TIME_LIMIT)


def said_unproven(ax):
    return "not proven optimal (time limit)" in ax.get_title("right")


def test_fit_marks_every_kink_by_its_jump_and_place():
    # kinks at 0 (on a point), 0.5 (between points) and 9 (out of sight); jumps 3, 1 and 1
    measure = cs.SparseMeasure([[1.0, 0.0], [2.0, 0.0], [1.0, -0.5], [1.0, -9.0]], [1.0, 1.0, -1.0, 1.0])
    x = np.array([-1.0, 0.0, 1.0])
    ax = plotting.plot_fit(measure, x, measure.predict(x))
    parts = labelled(ax)
    on, between = parts["kink on a data point"], parts["kink between data points"]
    np.testing.assert_allclose(on.get_offsets(), [[0.0, 0.0]], atol=1e-12)
    np.testing.assert_allclose(between.get_offsets(), [[0.5, measure.predict([0.5])[0]]])
    assert on.get_sizes()[0] == pytest.approx(3 * between.get_sizes()[0])
    assert len(parts["data"].get_offsets()) == 3
    curve = parts["fit, 4 neurons"]
    np.testing.assert_allclose(curve.get_ydata(), measure.predict(curve.get_xdata()))
    assert {0.0, 0.5} < set(curve.get_xdata())


def test_fit_of_a_solution_with_other_curves(line):
    x, y, solution = line
    ax = plotting.plot_fit(solution, x, y, others={"truth": lambda X: np.abs(X[:, 0]), "same": solution})
    parts = labelled(ax)
    np.testing.assert_allclose(parts["truth"].get_ydata(), np.abs(parts["truth"].get_xdata()))
    np.testing.assert_allclose(parts["same"].get_ydata(), solution.predict(parts["same"].get_xdata()))
    assert not ax.get_title("right")
    assert said_unproven(plotting.plot_fit(unproven(solution), x, y))


def test_axes_are_used_and_labelled(line):
    pandas = pytest.importorskip("pandas", reason="pandas is no dependency")
    x, y, solution = line
    _, ax = plt.subplots()
    assert plotting.plot_fit(solution, pandas.DataFrame({"dose": x}), pandas.Series(y, name="effect"), ax) is ax
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("dose", "effect")
    ax = plotting.plot_fit(solution, x, y, labels=("t", "z"))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("t", "z")


def test_a_network_without_neurons_is_drawn():
    x = np.array([1.0, 1.0])
    solution = cs.solve(x, [0.0, 0.0], lam=1.0)
    assert "fit, 0 neurons" in labelled(plotting.plot_fit(solution, x, [0.0, 0.0]))
    plotting.plot_neuron_space(solution, x, [0.0, 0.0])
    plotting.plot_convergence(solution)


def test_surface_draws_the_folds_where_neurons_switch_on(plane):
    X, y, solution = plane
    ax = plotting.plot_fit(solution, X, y)
    folds = labelled(ax)["folds"].get_segments()
    low, high = np.array([ax.get_xlim(), ax.get_ylim()]).T
    measure = solution.measure
    assert 0 < len(folds) <= measure.n_neurons
    for ends in folds:
        assert (ends >= low - 1e-9).all() and (ends <= high + 1e-9).all()
        values = ends @ measure.neurons[:, :2].T + measure.neurons[:, 2]
        assert np.abs(values).max(axis=0).min() < 1e-9  # both ends are on the zero line of some neuron
    dots = labelled(ax)["data"]
    np.testing.assert_array_equal(dots.get_array(), y)
    areas = next(c for c in ax.collections if hasattr(c, "levels"))
    assert dots.norm is areas.norm and areas.levels[0] <= y.min() and areas.levels[-1] >= y.max()
    assert said_unproven(plotting.plot_surface(unproven(solution), X, y))


def test_folds_parallel_to_an_axis():
    measure = cs.SparseMeasure([[1.0, 0.0, -0.5], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, -9.0]], np.ones(4))
    X = np.array([[0.0, -1.0], [1.0, 1.0]])
    folds = labelled(plotting.plot_surface(measure, X, measure.predict(X)))["folds"].get_segments()
    assert len(folds) == 2  # the constant has none, and the last one is out of sight
    assert {(0.5, 0.5), (0.0, 0.0)} == {tuple(ends[:, k]) for k, ends in enumerate(folds)}


@pytest.mark.parametrize("penalty", ["variation", "slope", "l1", "label_noise"])
@pytest.mark.parametrize("lam", [1e-2, None])
def test_dual_function_stays_in_its_bounds_and_atoms_touch_them(line, penalty, lam):
    x, y, _ = line
    make = cs.interpolate if lam is None else cs.solve
    solution = make(x, y, penalty=penalty, **({} if lam is None else {"lam": lam}))
    ax = plotting.plot_neuron_space(solution, x, y)
    parts = labelled(ax)
    values = parts["dual function"].get_ydata()
    assert np.nanmax(np.abs(values)) <= 1 + 1e-9
    drawn = 0
    for name, sign in (("neuron, c > 0", 1), ("neuron, c < 0", -1)):
        if name in parts:
            places = parts[name].get_offsets()
            np.testing.assert_allclose(places[:, 1], sign, atol=1e-4)
            drawn += len(places)
    assert drawn == solution.measure.n_neurons > 0
    borders = next(c for c in ax.collections if hasattr(c, "get_segments"))
    assert len(borders.get_segments()) == 2 * len(x)


def test_neuron_space_of_two_features(plane):
    X, y, solution = plane
    ax = plotting.plot_neuron_space(solution, X, y)
    hemispheres = [image.get_array() for image in ax.images]
    assert len(hemispheres) == 2
    assert max(np.nanmax(np.abs(values)) for values in hemispheres) <= 1 + 1e-9
    great_circles = [c for c in ax.collections if hasattr(c, "get_segments")]
    assert [len(c.get_segments()) for c in great_circles] == [len(X)] * 2
    dots = [c for c in ax.collections if len(c.get_offsets()) == 1 and not hasattr(c, "get_segments")]
    assert len(dots) == solution.measure.n_neurons
    assert said_unproven(plotting.plot_neuron_space(unproven(solution), X, y))


def test_projection_of_the_sphere():
    rng = np.random.default_rng(0)
    disc = rng.uniform(-0.7, 0.7, (50, 2))
    for pole in (1.0, -1.0):
        theta = neuron_space._lift_from_disc(disc, pole)
        np.testing.assert_allclose(np.linalg.norm(theta, axis=1), 1)
        assert (pole * theta[:, 2] >= 0).all()
        np.testing.assert_allclose(theta[:, :2] / np.sqrt(1 + np.abs(theta[:, 2:])), disc)
        for normal in (*rng.standard_normal((5, 3)), np.array([0.0, 0.0, 2.0]), np.array([1.0, 0.0, 0.0])):
            arc = neuron_space._lift_from_disc(neuron_space._great_circle(normal, pole), pole)
            np.testing.assert_allclose(arc @ normal, 0, atol=1e-7)


def test_neuron_space_without_biases_and_with_outputs(plane):
    X, y, _ = plane
    solution = cs.solve(X, y, lam=1e-2, fit_bias=False)
    assert "a_1" in plotting.plot_neuron_space(solution, X, y).get_xlabel()
    Y = np.column_stack([X[:, 0], np.abs(X[:, 0])])
    solution = cs.solve(X[:, 0], Y, lam=1e-1)
    ax = plotting.plot_neuron_space(solution, X[:, 0], Y)
    assert 0 <= np.nanmin(labelled(ax)["dual function"].get_ydata())
    assert ax.get_ylim()[0] == 0


@pytest.mark.parametrize("count, width", [(2, 11), (3, 12)])
def test_legends_and_bars_stay_off_the_axes_beside_them(line, plane, count, width):
    figure, axes = plt.subplots(1, count, figsize=(width, 4))
    for k, ax in enumerate(axes):
        x, y, solution = (line, plane)[k % 2]
        plotting.plot_neuron_space(unproven(solution), x, y, ax)
    figure.draw_without_rendering()
    for ax in axes:
        legend = ax.get_legend().get_window_extent()
        assert figure.bbox.y0 <= legend.y0 and legend.y1 <= figure.bbox.y1
        assert not any(legend.overlaps(other.get_window_extent()) for other in axes if other is not ax)
        note = next(text for text in ax.findobj(plt.Text) if "not proven" in text.get_text()).get_window_extent()
        assert figure.bbox.y0 <= note.y0 and note.y1 <= figure.bbox.y1 and not note.overlaps(legend)
    for bar in axes[1].child_axes:
        assert bar.get_window_extent().height <= axes[1].get_window_extent().height


def test_path(line):
    x, y, _ = line
    solutions = cs.path(x, y, n_lams=6)
    solutions[2] = unproven(solutions[2])
    axes = plotting.plot_path(solutions, x, y, held_out=(x[:4], y[:4]))
    lams, neurons = axes[1].lines[0].get_data()
    np.testing.assert_allclose(lams, [s.lam for s in solutions])
    assert list(neurons) == [s.measure.n_neurons for s in solutions]
    np.testing.assert_allclose(axes[0].lines[0].get_ydata(), [s.measure.norm() for s in solutions])
    losses = [np.mean((s.predict(x) - y) ** 2) / 2 for s in solutions]
    np.testing.assert_allclose(axes[2].lines[0].get_ydata(), losses)
    assert set(labelled(axes[2])) == {"the 11 rows of the fit", "4 held-out rows"}
    assert "1 of 6" in axes[0].get_title("right")
    assert all(ax.get_xscale() == "log" for ax in axes)


def test_convergence(plane):
    _, _, solution = plane
    axes = plotting.plot_convergence(unproven(solution))
    parts = labelled(axes[0])
    objective, bound = (parts[name].get_ydata() for name in ("objective", "proven lower bound"))
    assert objective[-1] == solution.objective and bound[-1] == solution.lower_bound
    assert (objective >= bound - 1e-12).all()
    assert axes[1].get_yscale() == "log"
    assert said_unproven(axes[0])


def test_comparison(line):
    pytest.importorskip("torch", reason="torch is an extra")
    from cellsolve.training import train_network

    x, y, solution = line
    runs = [train_network(x, y, lam=1e-2, width=8, steps=50, random_state=seed) for seed in range(2)]
    ax = plotting.plot_comparison(solution, {"adam": runs})
    ends = sorted(line.get_ydata()[0] for line in ax.lines if line.get_marker() == "o")
    np.testing.assert_allclose(ends, sorted(run.objective / solution.lower_bound - 1 for run in runs))
    assert set(labelled(ax)) == {"adam, 2 seeds", "convex program"}


def test_what_cannot_be_drawn_is_refused(line, plane):
    x, y, solution = line
    X = plane[0]
    with pytest.raises(ValueError, match="1 feature"):
        plotting.plot_fit(solution, X, X[:, 0])
    with pytest.raises(ValueError, match="2 features"):
        plotting.plot_surface(solution, x, y)
    with pytest.raises(ValueError, match="one output"):
        plotting.plot_fit(cs.SparseMeasure([[1.0, 0.0]], [[1.0, 2.0]]), x, y)
    with pytest.raises(ValueError, match="SparseMeasure"):
        plotting.plot_fit("model.json", x, y)
    with pytest.raises(ValueError, match="axes"):
        plotting.plot_convergence(solution, plt.subplots()[1])
    with pytest.raises(ValueError, match="solutions"):
        plotting.plot_path([], x, y)
    Z = np.random.default_rng(0).standard_normal((4, 3))
    with pytest.raises(ValueError, match="entries"):
        plotting.plot_neuron_space(cs.solve(Z, Z[:, 0], lam=0.1), Z, Z[:, 0])
