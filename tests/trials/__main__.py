"""`python -m tests.trials --seeds A-B [-v] [--jobs N]`: exit code 1 on any result that is false or late."""

import argparse
import multiprocessing
import os
import sys

from tests.trials import report
from tests.trials.trial import trial


def _seeds(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main() -> int:
    """Runs the trials and prints as they end."""
    parser = argparse.ArgumentParser(prog="python -m tests.trials", description=__doc__)
    parser.add_argument("--seeds", type=_seeds, required=True, metavar="A-B")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the timeline of every trial")
    parser.add_argument("-q", "--quiet", action="store_true", help="print only trials with findings")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    results: list[report.Result] = []
    with multiprocessing.get_context("spawn").Pool(min(arguments.jobs, len(arguments.seeds))) as pool:
        for evidence, findings in pool.imap(trial, arguments.seeds):
            results.append((evidence, findings))
            if findings or not arguments.quiet:
                _print(report.line(evidence, findings))
            if arguments.verbose:
                for line in report.timeline(evidence):
                    _print(line)
    for line in report.summary(results):
        _print(line)
    return int(any(findings for _, findings in results))


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # Sets of strings are iterated alike in every run, so that a seed can be run again.
        again = [sys.executable, "-m", "tests.trials", *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ | {"PYTHONHASHSEED": "0"})  # noqa: S606 - itself
    sys.exit(main())
