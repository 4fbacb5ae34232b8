"""The process of a fork (see `forks.py`), as its starter sees it. It imports little, so as to start fast.

python -I -S fork_client.py ADDRESS -c PROGRAM ARGUMENT…
"""

import _signal  # type: ignore[import-not-found]
import _socket
import array
import marshal
import os
import sys

PASSED_ON = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)


def _open_streams() -> list[int]:
    found = []
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            continue
        found.append(number)
    return found


def main(address: str, arguments: list[str]) -> None:
    _signal.pthread_sigmask(_signal.SIG_BLOCK, PASSED_ON)
    streams = _open_streams()  # before the connection takes the number of one that is closed
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.connect(address)
    request = marshal.dumps((arguments, dict(os.environ), os.getcwd(), streams))  # noqa: PTH109 - see above
    message = len(request).to_bytes(4, "big") + request
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", streams))]
    sent = connection.sendmsg([message], rights)
    connection.sendall(message[sent:])
    child = int.from_bytes(_received(connection), "big")
    for number in PASSED_ON:
        _signal.signal(number, lambda number, _: os.kill(child, number))
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, PASSED_ON)
    status = int.from_bytes(_received(connection), "big")
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != _signal.SIGKILL:  # which has no other handler
            _signal.signal(number, _signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


def _received(connection: "_socket.socket") -> bytes:
    """Four bytes."""
    answer = b""
    while len(answer) < 4:
        piece = connection.recv(4 - len(answer))
        if not piece:
            sys.exit("the process that forks has ended")
        answer += piece
    return answer


main(sys.argv[1], sys.argv[2:])
