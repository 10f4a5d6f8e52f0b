"""Trees of cones that prove nothing: what a file may hold where something was lost, or made up."""

import numpy as np


def subtree(tree, start):
    """Where the tree that starts there ends."""
    open_, place = 1, start
    while open_:
        open_ += 1 if tree[place] else -1
        place += 1
    return place


def wrong_trees(tree, orthants, missing, rng):
    """Mutants of a tree over so many orthants by name, `missing` of them without one random cone."""
    splits = np.flatnonzero(np.frombuffer(tree, np.uint8))
    wrong = {
        "cut off": tree[:-1],
        "half": tree[: len(tree) // 2],
        "empty": b"",
        "longer": tree + b"\0",
        "twice": tree + tree,
        "no such edge": tree[: splits[0]] + b"\x04" + tree[splits[0] + 1 :],
        "all leaves": b"\0" * orthants,
        "no bytes": list(tree),
        "text": tree.decode("latin1"),
    }
    for k in rng.choice(len(tree), missing, replace=False):
        wrong[f"a cone is missing at {k}"] = tree[:k] + tree[k + 1 :]
    largest = max(splits, key=lambda k: subtree(tree, k) - k)
    wrong["a large part is said to be proven"] = tree[:largest] + b"\0" + tree[subtree(tree, largest) :]
    return wrong
