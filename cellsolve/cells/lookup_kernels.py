"""numba kernels: a hash table of packed patterns, by open addressing, and the cells across facets."""

from __future__ import annotations

import numpy as np
from numba import njit

from cellsolve.cells.jit import ENTRY, JIT

#: odd constants of MurmurHash3's finalizer (Appleby, 2011)
FIRST, SECOND = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)


@njit(**JIT)
def _slot(keys, k, flip, mask):
    """First place in the table of key k, with the bits of `flip` turned."""
    h, shift = np.uint64(0), np.uint64(33)
    for w in range(keys.shape[1]):
        h ^= keys[k, w] ^ flip[w]
        h = (h ^ (h >> shift)) * FIRST
        h = (h ^ (h >> shift)) * SECOND
    return np.int64((h ^ (h >> shift)) & np.uint64(mask))


@njit(**JIT)
def _place(cells, table, keys, k, flip):
    """Place among the cells of key k with the bits of `flip` turned, -1 if it is not there."""
    mask = len(table) - 1
    slot = _slot(keys, k, flip, mask)
    while table[slot] >= 0:
        cell = table[slot]
        w = 0
        while w < cells.shape[1] and cells[cell, w] == keys[k, w] ^ flip[w]:
            w += 1
        if w == cells.shape[1]:
            return cell
        slot = (slot + 1) & mask
    return np.int64(-1)


@njit(**ENTRY)
def fill(cells, table, none):
    """Enter distinct cells (S, words) into a table of -1; its length is a power of two, more than S.

    `none` (words,) are zeros: kernels allocate nothing.
    """
    mask = len(table) - 1
    for k in range(len(cells)):
        slot = _slot(cells, k, none, mask)
        while table[slot] >= 0:
            slot = (slot + 1) & mask
        table[slot] = k


@njit(**ENTRY)
def find(cells, table, wanted, none, places):
    """Fill in the places of wanted patterns, -1 where they are not there."""
    for k in range(len(wanted)):
        places[k] = _place(cells, table, wanted, k, none)


@njit(**ENTRY)
def count_across(cells, table, flips, counts):
    """Fill in how many of the flips (L, words) lead from each cell to another one."""
    for k in range(len(cells)):
        for line in range(len(flips)):
            counts[k] += _place(cells, table, cells, k, flips[line]) >= 0


@njit(**ENTRY)
def list_across(cells, table, flips, lines, places):
    """Fill in, cell by cell, which flips lead to another one, and its place."""
    at = 0
    for k in range(len(cells)):
        for line in range(len(flips)):
            place = _place(cells, table, cells, k, flips[line])
            if place >= 0:
                lines[at], places[at] = line, place
                at += 1
