"""The program as a process: signals, broken connections, pipes and terminals."""

import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

import pytest

from exo_graphql.simulator import SimulatedExo, tiny_scenario
from tests.cli.conftest import Start, command_at
from tests.cli.test_mutations import operation_in
from tests.support.threaded import Served, served


def states(served: Served) -> list[str]:
    """The states of the server's operations."""
    return served.call(lambda: [operation.state.value for operation in served.server.components.operations.all()])


def test_ctrl_c_leaves_the_operation_running_and_says_so_with_its_id(slow: Served, start: Start) -> None:
    process = start("--url", slow.url, "models", "load", "absent", "--wait")
    process.line_with("DOWNLOADING")
    process.interrupt()
    ran = process.end()
    assert ran.code == 130
    id_ = operation_in(ran.err)
    assert f"error: Interrupted. The operation {id_} continues." in ran.err
    assert f"exo-graphql operations cancel {id_}" in ran.err
    assert states(slow) == ["RUNNING"]
    assert "Traceback" not in ran.err


def test_a_wait_survives_a_broken_connection_and_a_server_that_is_away(slow: Served, start: Start) -> None:
    process = start("--url", slow.url, "models", "load", "absent", "--wait")
    process.line_with("DOWNLOADING")
    slow.call(slow.relay.cut)
    process.line_with("DOWNLOADING")
    slow.do(slow.relay.close())
    slow.call(lambda: slow.server.exo.control.advance(60))
    before = slow.relay.connections
    slow.do(slow.relay.listen())
    ran = process.end()
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "SUCCEEDED: 100 % test/absent ready.")
    assert "Reconnecting." in ran.err
    assert slow.relay.connections > before


def test_a_mutation_whose_answer_is_lost_is_sent_again_and_is_one_operation(slow: Served, start: Start) -> None:
    slow.relay.mute = True
    process = start("--url", slow.url, "models", "load", "tiny-a")
    slow.until(lambda: slow.server.components.operations.all())
    slow.call(slow.relay.cut)
    slow.relay.mute = False
    assert process.end().code == 0
    assert slow.relay.connections == 2
    assert len(states(slow)) == 1


def test_watch_prints_a_line_for_each_change_and_heals(tiny: Served, start: Start) -> None:
    process = start("--url", tiny.url, "watch")
    process.line_with("healthy, 2/2 nodes")
    act = command_at(tiny.url)
    act("models", "load", "tiny-a", "--wait")
    assert process.line_with("tiny-a READY\n").endswith(" healthy, 2/2 nodes, tiny-a READY\n")
    tiny.do(tiny.relay.close())
    process.line_with("Reconnecting.")
    tiny.do(tiny.relay.listen())
    assert "tiny-a READY" in process.line_with("healthy, 2/2 nodes")
    process.interrupt()
    ran = process.end()
    assert (ran.code, ran.err) == (130, "")


def test_watch_says_so_while_the_server_itself_waits_for_exo(start: Start) -> None:
    exo = SimulatedExo(tiny_scenario(), seed=1)
    exo.control.drop_connections = True
    with served(exo, demo=False) as server:
        process = start("--url", server.url, "watch")
        process.line_with("The server has not received a state from exo yet. Waiting for it.")
        server.call(lambda: setattr(exo.control, "drop_connections", False))
        process.line_with("healthy, 2/2 nodes")


def test_watch_without_a_server_exits_with_69(start: Start) -> None:
    ran = start("--url", "http://127.0.0.1:1", "watch").end()
    assert (ran.code, ran.out) == (69, "")


def test_watch_with_json_prints_each_message_on_a_line(tiny: Served, start: Start) -> None:
    process = start("--url", tiny.url, "--json", "watch")
    assert process.line_with("").startswith('{"cluster": {"healthy": true')
    process.interrupt()
    assert process.end().code == 130


def test_a_pipe_that_closes_early_is_no_traceback(day: Served, program: Sequence[str]) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" | head -n 1', "sh", *program, "--url", day.url, "models", "--all"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.startswith("MODEL")
    assert "Traceback" not in done.stderr


OnATerminal = Callable[..., tuple[int, str]]


@pytest.fixture
def on_a_terminal(program: Sequence[str]) -> OnATerminal:
    """Runs a command on a terminal; its exit code, and what it wrote.

    Once `until` has been written it is interrupted, or `then` is called again and again instead.
    """

    def run(
        *arguments: str, until: str, columns: int = 120, then: Callable[[], object] | None = None
    ) -> tuple[int, str]:
        ours, its = pty.openpty()
        environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "40"}
        with subprocess.Popen([*program, *arguments], stdin=its, stdout=its, stderr=its, env=environment) as process:
            os.close(its)
            written, interrupted, deadline = b"", False, time.monotonic() + 120
            while time.monotonic() < deadline:
                if select.select([ours], [], [], 0.1)[0]:
                    try:
                        written += os.read(ours, 65536)
                    except OSError:  # Linux: the other end is closed
                        break
                if until.encode() in written and then is not None:
                    then()
                elif until.encode() in written and not interrupted:
                    process.send_signal(signal.SIGINT)
                    interrupted = True
            os.close(ours)
            try:
                return process.wait(120), written.decode()
            finally:
                process.kill()

    return run


def test_on_a_terminal_a_wait_draws_a_bar_with_the_steps(slow: Served, on_a_terminal: OnATerminal) -> None:
    code, written = on_a_terminal(
        *("--url", slow.url, "models", "load", "absent", "--wait"),
        until="s to go",
        then=lambda: slow.call(lambda: slow.server.exo.control.advance(1)),
    )
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    assert code == 0
    assert "━" in plain
    assert re.search(r"place +done", plain)
    assert re.search(r"DOWNLOADING +[\d.,]+ MiB/s, \d+ s to go", plain)
    assert plain.rstrip().endswith("test/absent ready.")
    assert written.rstrip().endswith("\x1b[?25h"), "the cursor is back"


def test_on_a_terminal_watch_takes_the_screen_and_gives_it_back(tiny: Served, on_a_terminal: OnATerminal) -> None:
    code, written = on_a_terminal("--url", tiny.url, "watch", until="node-2")
    assert code == 130
    assert written.startswith("\x1b[?1049h")
    assert written.rstrip().endswith("\x1b[?1049l")


CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.mark.parametrize("columns", [24, 40, 60, 80, 120])
@pytest.mark.parametrize("arguments", [["status"], ["nodes", "nonsense"]], ids=" ".join)
def test_on_a_terminal_of_any_width_no_word_is_broken(
    day: Served, on_a_terminal: OnATerminal, arguments: list[str], columns: int
) -> None:
    ran = command_at(day.url)(*arguments)
    _, written = on_a_terminal("--url", day.url, *arguments, until="never written", columns=columns)
    plain = CODES.sub("", written)
    assert all(len(line) <= columns for line in plain.splitlines())
    # Figures move between the two; a block names its columns.
    known = _words(ran.out + ran.err) | {"phase", "done", "nodes", "message"}
    assert _words(plain) <= known


def _words(text: str) -> set[str]:
    return {word for word in re.split(r"[\s\-]+", text) if not re.search(r"\d", word)}


@pytest.mark.parametrize("columns", [24, 40, 80])
def test_a_wait_fits_a_terminal_of_any_width(tiny: Served, on_a_terminal: OnATerminal, columns: int) -> None:
    code, written = on_a_terminal(
        "--url", tiny.url, "models", "load", "tiny-a", "--wait", until="never written", columns=columns
    )
    assert code == 0
    assert all(len(line) <= columns for frame in written.split("\r") for line in CODES.sub("", frame).splitlines())
    assert "SUCCEEDED" in CODES.sub("", written), "no word is broken"


def test_at_a_terminal_the_user_confirms_before_weights_are_deleted(tiny: Served, on_a_terminal: OnATerminal) -> None:
    def statuses() -> set[str]:
        entries = command_at(tiny.url)("--json", "downloads", "--model", "tiny-a").json["downloads"]
        return {entry["status"] for entry in entries}

    code, written = on_a_terminal("--url", tiny.url, "models", "delete", "tiny-a", until="[y/N]")
    assert code == 1
    assert "Delete the weights of tiny-a on all nodes? [y/N]" in written
    assert "Traceback" not in written
    assert statuses() == {"COMPLETED"}
    code, written = on_a_terminal("--url", tiny.url, "models", "delete", "tiny-a", "--yes", until="never written")
    assert (code, "[y/N]" in written, statuses()) == (0, False, set())


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("exo-graphql models l", "load"),
        ("exo-graphql --url {url} models load ti", "tiny-a"),
        ("exo-graphql --url {url} nodes node", "node-2"),
        ("exo-graphql --url http://127.0.0.1:1 models load ti", ""),
    ],
)
def test_the_shell_completes_commands_and_the_names_that_the_server_knows(
    tiny: Served, forking_python: Sequence[str], line: str, offered: str
) -> None:
    words = line.format(url=tiny.url)
    environment = os.environ | {
        "_EXO_GRAPHQL_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    program = (
        "import sys; from exo_graphql.cli import completion; from exo_graphql.main import main; "
        "completion._SECONDS = 60.0; sys.argv[0] = 'exo-graphql'; main()"
    )
    done = subprocess.run(
        [*forking_python, "-c", program], capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.stderr == ""
    assert offered in done.stdout.split("\n")
