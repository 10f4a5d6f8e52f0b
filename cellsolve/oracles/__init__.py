"""Oracles: from a dual vector to a proven supremum of |phi| / w over neurons, or to neurons that violate it."""
