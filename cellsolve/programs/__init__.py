"""The two convex programs in cvxpy: short, slow, and open to a user's own constraints."""

from cellsolve.programs.group_lasso import group_lasso
from cellsolve.programs.l1 import l1
from cellsolve.programs.program import Program

__all__ = ["Program", "group_lasso", "l1"]
