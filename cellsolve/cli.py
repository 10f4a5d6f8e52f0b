"""The command line: ``cellsolve fit | predict | cells | certify | verify | compare | demo``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from cellsolve import __version__
from cellsolve.certificate import Certificate, stated_problem
from cellsolve.files import Model, Table, read_table, refuse_unwritable, write_table
from cellsolve.losses import LOSSES
from cellsolve.potentials import POTENTIALS
from cellsolve.problem import FREE_PARTS, Problem
from cellsolve.replacing import is_stream, replacing

#: values of lam that cross-validation tries, down to this share of the largest
CV_LAMS, CV_RATIO = 20, 1e-3
PICTURES = (".png", ".pdf", ".svg")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 1 for a proof that does not hold, 2 for bad input, 130 for Ctrl-C."""
    name = "cellsolve"
    try:
        arguments = _parser().parse_args(argv)
        name = f"cellsolve {arguments.command}"
        code = arguments.run(arguments)
        sys.stdout.flush()  # here, where an error is caught
        return code
    except BrokenPipeError:  # the reader has what it wants, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, ImportError) as error:
        what = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        print(f"{name}: {' '.join(what.split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: interrupted, nothing was written", file=sys.stderr)
        return 130


# -- commands -----------------------------------------------------------------------------------------------------


def fit(arguments: argparse.Namespace) -> int:
    """Fit a network, print its summary and write what was asked for."""
    from cellsolve.api import interpolate, solve

    table, features = _table(arguments)
    _refuse_unwritable(arguments.out, arguments.certificate, arguments.plot)
    if arguments.plot and Path(arguments.plot).suffix not in PICTURES:
        raise ValueError(f"--plot {arguments.plot} has to end in {', '.join(PICTURES)}.")
    if arguments.plot and len(features) > 2:
        raise ValueError(f"--plot draws one or two features, not {len(features)}; choose them with --features.")
    problem = _problem(arguments, table, features)
    options = {key: getattr(arguments, key) for key in ("method", "tol", "max_time")}
    options |= {"random_state": 0, "progress": True}
    if problem.interpolates:
        solution = interpolate(problem, **options)
    else:
        solution = solve(problem, **options)
    with ExitStack() as outputs:  # all are written before the first one replaces a file
        if arguments.out:
            draft = outputs.enter_context(replacing(arguments.out))
            Model.of(solution.measure, problem, features, arguments.target).save(draft)
        if arguments.certificate:
            solution.certificate.save(outputs.enter_context(replacing(arguments.certificate)))
        if arguments.plot:
            _picture(solution, problem, [*features, arguments.target], outputs.enter_context(replacing(arguments.plot)))
    print(solution)
    print(f"  data         {problem.n} rows, {arguments.target} from {', '.join(features)}")
    _name(arguments.out, arguments.certificate, arguments.plot)
    return 0


def predict(arguments: argparse.Namespace) -> int:
    """Write the predictions of a model, to standard output unless --out names a file."""
    model = Model.load(arguments.model)
    _refuse_unwritable(arguments.out)
    values = model.measure.predict(read_table(arguments.data).columns(model.features)).reshape(-1, 1)
    if not arguments.out:
        print(model.target, *(repr(value) for value in values[:, 0].tolist()), sep="\n")
        return 0
    with replacing(arguments.out) as draft:
        write_table(draft, [model.target], values)
    _name(arguments.out)
    return 0


def cells(arguments: argparse.Namespace) -> int:
    """Count the cells of a table, or list them and write them to an npz file."""
    from cellsolve.cells import count_cells, write_cells

    table, features = _table(arguments)
    _refuse_unwritable(arguments.out)
    X, fit_bias = table.columns(features), not arguments.no_bias
    if not arguments.out:
        count = count_cells(X, fit_bias=fit_bias)
        print(count if arguments.count else f"{count} cells of {len(X)} rows, by {', '.join(features)}")
        return 0
    described = {"X": X, "features": np.array(features), "fit_bias": np.array(fit_bias)}
    try:
        count = write_cells(arguments.out, X, fit_bias=fit_bias, n_jobs=arguments.jobs, progress=True, beside=described)
    except KeyboardInterrupt:
        kept = f"what is done is in {arguments.out}.parts, and the same command goes on from there"
        print(f"cellsolve cells: interrupted; {kept}", file=sys.stderr)
        return 130
    print(f"{count} cells of {len(X)} rows, by {', '.join(features)}")
    _name(arguments.out)
    return 0


def certify(arguments: argparse.Namespace) -> int:
    """Bound how far a model is from the best network of any width on these rows."""
    from cellsolve.api import certify as bound

    model = Model.load(arguments.model)
    _refuse_unwritable(arguments.out)
    table = read_table(arguments.data)
    y = table.columns([arguments.target])[:, 0]
    problem = stated_problem(model.problem, table.columns(model.features), y)
    certificate = bound(model.measure, problem, max_time=arguments.max_time, random_state=0, progress=True)
    if arguments.out:
        with replacing(arguments.out) as draft:
            certificate.save(draft)
    print(f"objective    {certificate.objective:.10g}")
    print(f"lower bound  {certificate.lower_bound:.10g}   for networks of any width")
    print(f"excess       {certificate.excess:.2e}   the model is at most this share above the best")
    _name(arguments.out)
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Check a certificate; exit 0 if it holds and 1 if not."""
    certificate = Certificate.load(arguments.certificate)
    table, features = _table(arguments)
    verdict = certificate.check(table.columns(features), table.columns([arguments.target])[:, 0])
    if verdict.ok:
        bound = f"{certificate.lower_bound:.10g}"
        print(f"holds: no network of any width has an objective below {bound} ({verdict.method})")
        return 0
    print(f"does not hold: {verdict.reason}")
    return 1


def compare(arguments: argparse.Namespace) -> int:
    """Solve, train networks by gradient descent on the same objective, and print both."""
    from cellsolve.comparison import compare as run
    from cellsolve.comparison import print_table

    table, features = _table(arguments)
    problem = _problem(arguments, table, features)
    result = run(
        problem,
        optimizers=arguments.optimizers,
        seeds=arguments.seeds,
        width=arguments.width,
        steps=arguments.steps,
        max_time=arguments.max_time,
        random_state=0,
        progress=True,
    )
    title = f"{arguments.target} from {', '.join(features)}, {problem.n} rows, lam = {problem.lam:.4g}"
    caption = f"certified lower bound for networks of any width: {result.solution.lower_bound:.8f}"
    print_table(title, result.lines(), caption)
    return 0


def demo(arguments: argparse.Namespace) -> int:
    """Run on real data, from the fit to the proof."""
    from cellsolve.demo import run

    return run(Path(arguments.out))


# -- from arguments to a problem ------------------------------------------------------------------------------------


def _table(arguments: argparse.Namespace) -> tuple[Table, list[str]]:
    table = read_table(arguments.data)
    target = getattr(arguments, "target", None)
    if target is not None and target not in table.names:
        raise ValueError(f"--target: {arguments.data} has no column {target!r}; it has {', '.join(table.names)}.")
    features = arguments.features or [name for name in table.names if name != target]
    if not features:
        raise ValueError(f"{arguments.data} has no column beside the target {target!r}; a feature is needed.")
    if target in features:
        raise ValueError(f"--features names the target {target!r} too; leave it out.")
    return table, features


def _problem(arguments: argparse.Namespace, table: Table, features: list[str]) -> Problem:
    from cellsolve.api import lam_max

    if arguments.interpolate and arguments.loss:
        raise ValueError("--loss does nothing with --interpolate, which fits every row exactly; leave out one of them.")
    lam = None if arguments.interpolate else 1.0 if arguments.lam == "auto" or arguments.cv else arguments.lam
    X, y = table.columns(features), table.columns([arguments.target])[:, 0]
    statement = {"loss": arguments.loss or "squared", "penalty": arguments.penalty, "free": arguments.free}
    problem = Problem(X, y, lam=lam, fit_bias=not arguments.no_bias, **statement)
    if arguments.cv:
        return problem.replace(lam=_cross_validated(problem, arguments.cv))
    if not arguments.interpolate and arguments.lam == "auto":
        from cellsolve.estimators.model import AUTO  # here, as scikit-learn takes a second to import

        return problem.replace(lam=AUTO * lam_max(problem, random_state=0) or 1.0)
    return problem


def _cross_validated(problem: Problem, folds: int) -> float:
    """Return the lam with the least mean loss on rows that were left out."""
    from cellsolve.api import lam_max, path
    from cellsolve.solution import Status

    if not 2 <= folds <= problem.n:
        raise ValueError(f"--cv is {folds}; pass a number of folds between 2 and the {problem.n} rows.")
    lams = (lam_max(problem, random_state=0) or 1.0) * np.geomspace(1.0, CV_RATIO, CV_LAMS)
    total = np.zeros(CV_LAMS)
    for left_out in np.array_split(np.random.default_rng(0).permutation(problem.n), folds):
        kept = np.setdiff1d(np.arange(problem.n), left_out)
        fold = problem.replace(X=problem.X[kept], y=problem.y[kept])
        solutions = path(fold, lams=lams, tol=1e-4, random_state=0, progress=True)
        if solutions[-1].status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        for k, solution in enumerate(solutions):
            total[k] += np.sum(problem.loss.value(solution.predict(problem.X[left_out]), problem.y[left_out]))
    return float(lams[np.argmin(total)])


def _picture(solution: Any, problem: Problem, names: list[str], path: Path) -> None:
    from cellsolve.plotting import new_figure, plot_fit

    figure = new_figure(6.4, 4.6)
    plot_fit(solution, problem.X, problem.y, figure.subplots(), labels=names)
    figure.savefig(path, dpi=160)


def _refuse_unwritable(*paths: str | None) -> None:
    refuse_unwritable(*(path for path in paths if path and not is_stream(path)))


def _name(*paths: str | None) -> None:
    written = [path for path in paths if path and not is_stream(path)]
    if written:
        print(f"wrote {', '.join(written)}")


# -- the parser -----------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, printed by `main`."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="cellsolve", description="The best shallow ReLU network of any width, with a proof.")
    parser.add_argument("--version", action="version", version=f"cellsolve {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(run: Any, *positional: str, target: bool = False, features: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(run.__name__, help=run.__doc__, description=run.__doc__)
        command.set_defaults(run=run)
        for name in positional:
            command.add_argument(name.lower(), metavar=name)
        if target:
            command.add_argument("--target", metavar="COLUMN", required=True, help="column that is fitted")
        if features:
            command.add_argument("--features", metavar="A,B", type=_names, help="columns to use; default: all others")
        return command

    command = add(fit, "DATA", target=True)
    _add_problem(command, interpolation=True)
    command.add_argument("--method", default="auto", help="see cellsolve.solve")
    command.add_argument("--tol", type=float, help="relative gap to stop at")
    _add_max_time(command)
    command.add_argument("--out", metavar="MODEL.json", help="write the model")
    command.add_argument("--certificate", metavar="OUT.json", help="write the certificate")
    command.add_argument("--plot", metavar="FIT.png", help="draw the fit over one or two features")

    command = add(predict, "MODEL", "DATA", features=False)
    command.add_argument("--out", metavar="PREDICTIONS.csv", help="default: standard output")

    command = add(cells, "DATA")
    command.add_argument("--target", metavar="COLUMN", help="column to leave out, as in fit")
    command.add_argument("--no-bias", action="store_true", help="neurons without biases")
    command.add_argument("--count", action="store_true", help="print the number alone")
    command.add_argument("--out", metavar="CELLS.npz", help="write the activation patterns, packed; goes on if stopped")
    command.add_argument("--jobs", type=int, default=1, metavar="N", help="threads, -1 for all cores (default: 1)")

    command = add(certify, "MODEL", "DATA", target=True, features=False)
    _add_max_time(command)
    command.add_argument("--out", metavar="CERTIFICATE.json", help="write the certificate")

    add(verify, "CERTIFICATE", "DATA", target=True)

    command = add(compare, "DATA", target=True)
    _add_problem(command, interpolation=False)
    _add_max_time(command)
    command.add_argument("--optimizers", metavar="A,B", type=_names, default=["adam"], help="adam, sgd, lbfgs")
    command.add_argument("--seeds", type=_positive, default=5, help="runs of each optimizer")
    command.add_argument("--width", type=_positive, default=100, help="neurons of the trained networks")
    command.add_argument("--steps", type=_positive, help="steps of each run")

    command = add(demo, features=False)
    command.add_argument("--out", metavar="FOLDER", default="cellsolve-demo", help="where its files go")
    return parser


def _add_problem(command: argparse.ArgumentParser, interpolation: bool) -> None:
    goal = command.add_mutually_exclusive_group()
    goal.add_argument("--lam", type=_lam, default="auto", help="weight of the penalty; auto: a hundredth of lam_max")
    goal.add_argument("--cv", metavar="FOLDS", type=_positive, help="choose lam by cross-validation")
    command.set_defaults(interpolate=False)
    if interpolation:
        goal.add_argument("--interpolate", action="store_true", help="fit every row exactly, at least norm")
    command.add_argument("--loss", choices=list(LOSSES), help="default: squared")
    command.add_argument("--penalty", choices=list(POTENTIALS), default="variation")
    command.add_argument("--free", choices=FREE_PARTS, help="the part that is not penalised")
    command.add_argument("--no-bias", action="store_true", help="neurons without biases")


def _add_max_time(command: argparse.ArgumentParser) -> None:
    command.add_argument("--max-time", metavar="SECONDS", type=float, help="stop then, with the bound proven so far")


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if "" in names or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} has empty or repeated names")
    return names


def _lam(text: str) -> float | str:
    try:
        value = 1.0 if text == "auto" else float(text)
    except ValueError:
        value = np.nan
    if not 0 < value < np.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a positive number nor auto")
    return text if text == "auto" else value


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
