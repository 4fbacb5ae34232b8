"""The command `exo-graphql`, which the console script starts. `program.py` has all commands.

Each way into the program imports what it needs alone: a server no command line, a command no server.
"""

import gc
import signal
import sys


def main() -> None:
    """The console script. A Ctrl-C while it imports the program, for up to half a second, is as silent as later."""
    try:
        code = _main()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        from exo_graphql.cli.interrupts import EXIT_CODE

        code = EXIT_CODE
    sys.exit(code)


def _main() -> int:
    from exo_graphql.cli import interrupts, streams
    from exo_graphql.left_out import leave_out

    leave_out()
    streams.prepare()
    interrupts.install()
    if sys.argv[1:2] in (["serve"], ["simulate"]):
        # Nearly everything that is made until it serves is kept: looking for garbage takes a quarter of that time.
        gc.disable()  # `Server.startup` enables it again
    code = 0
    try:
        code = _run()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except streams.OutputFailed as failure:  # what is written without a session: --help, schema
        code = failure.exit_code
        streams.report(failure)
    interrupts.finish()
    return streams.finish(code)


def _run() -> int:
    # A shell that completes a line runs the program without any arguments.
    if sys.argv[1:2] == ["serve"]:
        from exo_graphql.serve_command import plain_flags, start

        flags = plain_flags(sys.argv[2:])
        if flags is not None:
            return start(flags)
    from exo_graphql.program import app

    app()
    return 0
