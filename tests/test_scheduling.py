"""Which process runs which test: a pytest over two processes, with the plugin."""

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.scheduling import (
    GROUPS,
    TIMING,
    Recorder,
    function_of,
    long_tests,
    pytest_collection_modifyitems,
)

ROOT = Path(__file__).parents[1]
TESTS = """
import os
import pytest

@pytest.mark.parametrize("number", range(6))
def test_it(number):
    assert os.nice(0) == {nice}
"""


def test_one_process_runs_a_group_and_another_does_not_wait_for_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [file for file, group in GROUPS.items() if group == TIMING][:2]
    given_way = min(19, os.nice(0) + 5)
    for file, nice in ((files[0], os.nice(0)), (files[1], os.nice(0)), ("tests/test_other.py", given_way)):
        path = pytester.path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TESTS.format(nice=nice))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # what is not named here takes long to load
    plugins = ("-p", "xdist", "-p", "tests.support.scheduling")
    result = pytester.runpytest_subprocess(*plugins, "-n", "2", "-v", "--import-mode=importlib")
    result.assert_outcomes(passed=18)
    ran = re.findall(r"^\[(gw\d)\].* PASSED (\S+)::", result.stdout.str(), re.MULTILINE)
    assert len({worker for worker, file in ran if file in files}) == 1
    assert {worker for worker, file in ran if file == "tests/test_other.py"} != {
        worker for worker, file in ran if file in files
    }


def test_every_test_that_is_named_is_there() -> None:
    assert [file for file in GROUPS if not (ROOT / file).is_file()] == []
    for name in long_tests():
        file, _, function = name.partition("::")
        assert re.search(rf"^\s*(async )?def {function}\(", (ROOT / file).read_text(), re.MULTILINE), name


def test_the_long_tests_come_first(request: pytest.FixtureRequest) -> None:
    single = [item.nodeid for item in request.session.items if item.nodeid.partition("::")[0] not in GROUPS]
    seconds = [long_tests().get(function_of(nodeid), 0.0) for nodeid in single]
    assert seconds == sorted(seconds, reverse=True)


def test_the_tests_of_a_group_stay_in_their_order_where_some_are_long() -> None:
    long = next(name for name in long_tests() if name.startswith("tests/test_readme.py::"))
    names = [
        "tests/test_other.py::test_it",
        "tests/test_readme.py::test_first",
        long,
        "tests/test_readme.py::test_last",
    ]
    items = [SimpleNamespace(nodeid=name) for name in names]
    pytest_collection_modifyitems(items)  # type: ignore[arg-type]  # it looks at nothing else
    assert [item.nodeid for item in items] == [*names[1:], names[0]]


def test_the_longest_test_of_each_function_is_recorded_where_it_is_long(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "record.json")
    for nodeid, *phases in (("a.py::long[1]", 0.5, 0.7, 0.01), ("a.py::long[2]", 0.1), ("b.py::short", 0.4, 0.5)):
        for seconds in phases:
            recorder.pytest_runtest_logreport(
                pytest.TestReport(nodeid, ("", None, ""), {}, "passed", None, "call", duration=seconds)
            )
    recorder.pytest_sessionfinish()
    assert json.loads((tmp_path / "record.json").read_text()) == {"a.py::long": 1.2}
