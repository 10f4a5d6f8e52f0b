"""Every claim of the papers that this package reproduces: claim, paper, what was measured here, does it agree?

Writes the table to `benchmarks/results/papers.csv` and, for the documentation, to `docs/papers.md`. A claim that does
not hold here says "no". Pass names of papers to measure those only, which prints and leaves the files as they are.
"""

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path

from _results import machine, write_csv

ROOT = Path(__file__).parent
#: module in benchmarks/claims -> the paper
PAPERS = {
    "biases": "Boursier and Flammarion, Penalising the biases in norm regularisation enforces sparsity (2023)",
    "weight_decay": "Parhi, On the sparsity-promoting effect of weight decay in deep learning (2024)",
    "compression": "Shenouda, Parhi, Lee and Nowak, Vector-valued variation spaces and width bounds for DNNs (2023)",
    "label_noise": "de Dios and Bruna, On sparsity in overparametrised shallow ReLU networks (2020)",
    "weight_normalisation": "Chou, Rauhut and Ward, Robust implicit regularization via weight normalization (2023)",
}

INTRODUCTION = """# Claims of the papers

What the papers say, and what came out when it was run with this package. The tables are written by
`benchmarks/papers.py`, which measures every line anew; the [gallery](gallery/papers/index.rst) shows the same systems
in pictures. "No" and "partly" are results too: the sentence beside them says what differs.
"""


def measured(paper: str) -> list[dict[str, object]]:
    """Measure the claims of one paper, printing each as it comes."""
    print(f"\n{PAPERS[paper]}")
    rows: list[dict[str, object]] = []
    for claim in import_module(f"claims.{paper}").CLAIMS:
        start = time.perf_counter()
        result = claim.measure()
        seconds = time.perf_counter() - start
        print(f"  {claim.claim} ({claim.source})\n    {result.text}  Agrees: {result.agrees}.  [{seconds:.0f} s]")
        row = {"claim": claim.claim, "paper": paper, "source": claim.source}
        rows.append(row | {"measured": result.text, "agrees": result.agrees, "seconds": round(seconds, 1)})
    return rows


def page(tables: dict[str, list[dict[str, object]]]) -> str:
    """Return the page of the documentation."""
    lines = [INTRODUCTION]
    for paper, rows in tables.items():
        lines += [f"## {PAPERS[paper]}\n", "| claim | measured | agrees? |", "|---|---|---|"]
        for row in rows:
            cells = f"{row['claim']} ({row['source']})", row["measured"], row["agrees"]
            lines.append("| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join([*lines, f"Measured on: {machine()}.\n"])


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("papers", nargs="*", choices=[[], *PAPERS], help="measure these only, and write nothing")
    chosen = parser.parse_args().papers
    print(machine())
    tables = {paper: measured(paper) for paper in chosen or PAPERS}
    if chosen:
        return
    write_csv(ROOT / "results" / "papers.csv", [row for rows in tables.values() for row in rows])
    (ROOT.parent / "docs" / "papers.md").write_text(page(tables), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
