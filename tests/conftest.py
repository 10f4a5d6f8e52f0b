"""Settings that make a test's outcome a matter of the code alone."""

import os

# Before anything imports NumPy: sums in one order, and no oversubscribed cores under joblib.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ["MPLBACKEND"] = "Agg"

from hypothesis import settings  # noqa: E402

settings.register_profile("cellsolve", derandomize=True, deadline=None)
settings.load_profile("cellsolve")
