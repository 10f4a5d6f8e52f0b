"""``python -m cellsolve`` is the command line."""

import sys

from cellsolve.cli import main

if __name__ == "__main__":
    sys.exit(main())
