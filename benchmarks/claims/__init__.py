"""The claims of the papers: a module a paper, each with a list CLAIMS, which `benchmarks/papers.py` measures."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Measured:
    """What came out, in a sentence with its numbers, and whether it agrees with the paper."""

    text: str
    agrees: Literal["yes", "partly", "no"]


@dataclass(frozen=True)
class Claim:
    """A sentence of a paper, where it stands there, and the function that measures it."""

    claim: str
    source: str
    measure: Callable[[], Measured]
