"""From cells and neurons to matrices: D_s X~ blocks for program (G), responses A for program (L)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.sparse.linalg import LinearOperator

from cellsolve.cells import CellArrangement
from cellsolve.data import Array, as_points, lift
from cellsolve.potentials import Potential, as_potential


class CellFeatures(LinearOperator):
    """The matrix [D_1 X~, ..., D_S X~] of shape (n, S D), D_s the diagonal matrix of the pattern s.

    Supports ``@`` and ``.T @`` without being formed; `block(s)` is one cell's block, `toarray()` the whole.
    """

    def __init__(self, lifted: Array, patterns: np.ndarray) -> None:
        self.lifted = lifted
        self.patterns = patterns
        n, D = lifted.shape
        super().__init__(np.dtype(np.float64), (n, len(patterns) * D))

    def block(self, s: int) -> Array:
        """Return D_s X~, shape (n, D)."""
        return self.patterns[s][:, None] * self.lifted

    def toarray(self) -> Array:
        """Return the dense matrix."""
        return (self.patterns.T[:, :, None] * self.lifted[:, None, :]).reshape(self.shape)

    def tosparse(self) -> sparse.csr_matrix:
        """Return the matrix in sparse form."""
        _n, D = self.lifted.shape
        points, cells = np.nonzero(self.patterns.T)
        columns = (cells[:, None] * D + np.arange(D)).ravel()
        return sparse.csr_matrix((self.lifted[points].ravel(), (np.repeat(points, D), columns)), shape=self.shape)

    def _matmat(self, M):
        _n, D = self.lifted.shape
        M = np.asarray(M).reshape(len(self.patterns), D, -1)
        return np.einsum("si,id,sdk->ik", self.patterns.astype(np.float64), self.lifted, M, optimize=True)

    def _matvec(self, v):
        return self._matmat(np.asarray(v).reshape(-1, 1))[:, 0]

    def _rmatmat(self, M):
        M = np.asarray(M).reshape(len(self.lifted), -1)
        result = np.einsum("si,id,ik->sdk", self.patterns.astype(np.float64), self.lifted, M, optimize=True)
        return result.reshape(self.shape[1], -1)

    def _rmatvec(self, v):
        return self._rmatmat(np.asarray(v).reshape(-1, 1))[:, 0]

    def _adjoint(self):
        return LinearOperator(
            self.shape[::-1],
            matvec=self._rmatvec,
            rmatvec=self._matvec,
            matmat=self._rmatmat,
            rmatmat=self._matmat,
            dtype=self.dtype,
        )

    _transpose = _adjoint


def cell_features(X: ArrayLike, cells: CellArrangement) -> CellFeatures:
    """Return the features D_s X~ of the cells, one block each.

    Parameters
    ----------
    X : array-like, shape (n, d) or (n,)
        The points that the cells were made from.
    cells : CellArrangement

    Returns
    -------
    CellFeatures
        Linear operator of shape (n, S D).

    Raises
    ------
    ValueError
        X and the cells do not belong together.
    """
    points = as_points(X)
    n, D = cells.lifted.shape
    fit_bias = D == points.shape[1] + 1
    if len(points) != n or D - points.shape[1] not in (0, 1):
        raise ValueError(
            f"X has shape {points.shape} but the cells come from {n} points in {D} lifted dimensions; pass the same X."
        )
    return CellFeatures(lift(points, fit_bias), cells.patterns)


def relu_features(
    X: ArrayLike, neurons: ArrayLike, penalty: str | Potential = "variation", *, fit_bias: bool = True
) -> Array:
    r"""Return A with :math:`A_{ik} = \sigma(\langle\theta_k, \tilde x_i\rangle) / w(\theta_k)`.

    Parameters
    ----------
    X : array-like, shape (n, d) or (n,)
    neurons : array-like, shape (K, D)
    penalty : str or Potential
    fit_bias : bool

    Returns
    -------
    (n, K)
        The matrix of the l1 program (de Dios & Bruna, eq. 21).

    Raises
    ------
    ValueError
        A neuron with w = 0 but a response, whose column would be infinite.
    """
    lifted = lift(as_points(X), fit_bias)
    theta = np.atleast_2d(np.asarray(neurons, dtype=np.float64))
    if theta.shape[1] != lifted.shape[1]:
        raise ValueError(
            f"neurons has {theta.shape[1]} columns; with fit_bias={fit_bias} {lifted.shape[1]} are needed."
        )
    response = np.maximum(lifted @ theta.T, 0.0)
    cost = as_potential(penalty).value(theta, lifted, fit_bias)
    free = (cost <= 0) & response.any(axis=0)
    if free.any():
        raise ValueError(
            f"neuron {int(np.flatnonzero(free)[0])} has w = 0 and is not zero on the data; leave it to the free part."
        )
    return response / np.where(cost > 0, cost, 1.0)
