"""How numba compiles the kernels of cells."""

from __future__ import annotations

#: Kernels allocate nothing, so numba need not count references: counting took half of the time.
ENTRY = {"nogil": True, "cache": True, "error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True}
#: of kernels that only kernels call
JIT = {**ENTRY, "no_cpython_wrapper": True}
#: of those called for each plane: to pass their arrays would take as long as what they do
HOT = {**JIT, "forceinline": True}
