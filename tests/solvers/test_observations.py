"""What many points of one input add up to, against every point observed."""

from __future__ import annotations

import numpy as np
import pytest

import cellsolve as cs
from cellsolve.losses import as_loss
from cellsolve.solvers import line_program
from cellsolve.solvers.chain_kernels import VALUE
from cellsolve.solvers.observations import Blocks, Corners, Pieces

CORNERED = ["absolute", "quantile", "huber", "hinge", "squared_hinge"]


def pieces(loss, y, x):
    low, high = as_loss(loss).domain(y)
    return Pieces(x, y, len(x) * as_loss(loss).bend, low / len(x), high / len(x))


@pytest.fixture
def guessing(monkeypatch):
    """Have points of small problems summed up, too."""
    monkeypatch.setattr(line_program, "FEW", 20)


@pytest.mark.parametrize("free", ["none", "affine"])
@pytest.mark.parametrize("loss", CORNERED)
def test_answers_are_those_of_every_point_observed(loss, free, monkeypatch):
    rng = np.random.default_rng(len(loss) + len(free))
    for penalty in ("variation", "slope") if free == "affine" else ("variation",):
        n = int(rng.integers(100, 300))
        x, noise = rng.uniform(-2, 2, n), 0.3 * rng.standard_normal(n)
        y = np.where(np.sin(4 * x) + noise > 0, 1.0, -1.0) if "hinge" in loss else np.sin(4 * x) + noise
        problem = cs.Problem(x, y, lam=10.0 ** rng.uniform(-4, -2), loss=loss, penalty=penalty, free=free)
        whole = cs.solve(problem)
        monkeypatch.setattr(line_program, "FEW", 20)
        ours = cs.solve(problem)
        monkeypatch.undo()
        assert whole.status == ours.status == "optimal"
        assert abs(ours.objective - whole.objective) <= 1e-8 * whole.objective
        assert ours.certificate.verify(x, y)
        assert ours.measure.n_neurons <= whole.measure.n_neurons + 3


@pytest.mark.parametrize("loss", CORNERED)
def test_far_fewer_observations_than_points(loss, monkeypatch):
    rng = np.random.default_rng(0)
    n = 5000
    x = rng.uniform(-1, 1, n)
    y = np.sin(5 * x) + 0.3 * rng.standard_normal(n)
    y = np.where(y > 0, 1.0, -1.0) if "hinge" in loss else y
    sizes, chained = [], line_program.LineProgram._chained

    def counted(self, layout, rows, tol):
        sizes.append(len(rows.place))
        return chained(self, layout, rows, tol)

    monkeypatch.setattr(line_program.LineProgram, "_chained", counted)
    solution = cs.solve(x, y, lam=1e-3, loss=loss)
    assert solution.status == "optimal"
    assert max(sizes) < 0.5 * n and sizes[-1] < 0.35 * n


@pytest.mark.usefixtures("guessing")
@pytest.mark.parametrize(
    ("loss", "y"),
    [
        ("absolute", np.repeat([1.0, 1.0, 5.0], 40)),  # nearly all at the corner
        ("quantile", np.arange(120.0) % 3),  # three values: blocks
        ("hinge", np.where(np.arange(120) % 2, 1.0, -1.0)),  # f = 0 at best
        ("absolute", np.append(np.zeros(119), 1e6)),
    ],
)
def test_ties_and_outliers(loss, y):
    x = np.arange(120.0) // 2  # every place twice
    for lam in (1e-3, 0.3):
        solution = cs.solve(x, y, lam=lam, loss=loss, method="univariate")
        assert solution.gap <= 1e-8
        assert solution.certificate.verify(x, y)


@pytest.mark.parametrize("loss", [*CORNERED, "squared"])
def test_pieces_are_those_of_the_loss(loss):
    rng = np.random.default_rng(1)
    y = np.where(rng.random(200) < 0.5, -1.0, 1.0)
    f = rng.choice([-1.0, 1.0, 0.5, 3.0], 200) + rng.choice([0.0, 1e-3, 2.5], 200)
    about = pieces(loss, y, np.arange(200.0))
    np.testing.assert_allclose(about.loss(f), as_loss(loss).value(f, y) / 200, rtol=1e-13, atol=1e-16)
    piece, away = about.at(f)
    slope = as_loss(loss).gradient(f, y) / 200
    low, high = as_loss(loss).domain(y)
    inner = away > 0  # on a corner every subgradient will do
    assert np.array_equal(np.where(slope <= low / 200, -1, np.where(slope >= high / 200, 1, 0))[inner], piece[inner])
    assert about.sure == (loss == "squared")


def test_a_crossed_corner_is_observed():
    x, y = np.arange(10.0), np.zeros(10)
    guess = Corners(pieces("absolute", y, x), f=np.linspace(1, 2, 10), count=3)
    assert guess.near.sum() <= 5 and len(guess.rows(np.zeros(0)).place) == guess.near.sum()
    assert guess.settled(np.linspace(1, 2, 10), 1e-12)
    before = guess.near.copy()
    assert not guess.settled(np.where(x == 5, -1.0, 1.0), 1e-12)
    assert guess.near[5] and (guess.near >= before).all()


def test_blocks_end_at_kinks_and_at_crossings():
    x = np.arange(100.0)
    y = np.where(x % 2, 1.0, -1.0)
    blocks = Blocks(pieces("hinge", y, x))
    rows = blocks.rows(np.array([40.5, 70.0]))
    assert (rows.kind == VALUE).all() and len(rows.place) == 8  # two labels, three stretches, both ends by themselves
    assert np.all(np.diff(rows.place) >= 0)
    np.testing.assert_allclose((rows.high - rows.low).sum(), 1.0)
    assert blocks.settled(np.full(100, 0.5), 1e-12)  # between the corners
    assert blocks.settled(np.full(100, 1.0), 1e-12)  # on one
    assert not blocks.settled(np.linspace(-3, 3, 100), 1e-12)
    finer = blocks.rows(np.array([40.5, 70.0]))
    assert len(finer.place) > 8
    at = blocks.order[np.clip(blocks.blocks, 0, None)]  # first points of blocks: crossings are cut next to them
    assert {33, 66} & set(at.tolist()) or {34, 67} & set(at.tolist())
    alpha = blocks.alpha(np.arange(len(finer.place), dtype=float))
    np.testing.assert_allclose(alpha.sum(), np.arange(len(finer.place)).sum())
