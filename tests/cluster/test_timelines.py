"""Each recorded timeline, step by step: what every state of a real exo means by the rules of the public contract.

The tables were worked out by hand from the recorded documents: runners, layers, bytes, `lastSeen`.
"""

from collections import Counter

import pytest

from exo_graphql.cluster.downloads import DownloadStatus
from exo_graphql.cluster.status import ModelStatus
from tests.support.recordings import NAMES, walk

# Seconds, phase, progress in percent, final or stale, and the failure as `attempt: message`.
TIMELINES = {
    ("10-place-load-ready", "rig/tiny-llama-a"): """
    0        NOT_LOADED   -      -      -
    0.251    WAITING      -      -      -
    0.301    WAITING      -      -      -
    0.401    WAITING      -      -      -
    1.609    LOADING      0      -      -
    2.21     LOADING      12.5   -      -
    2.526    LOADING      25     -      -
    2.828    LOADING      37.5   -      -
    3.128    LOADING      50     -      -
    3.429    LOADING      62.5   -      -
    3.73     LOADING      75     -      -
    4.03     LOADING      100    -      -
    4.08     WARMING_UP   100    -      -
    5.284    READY        100    -      -
    """,
    ("20-chat", "rig/tiny-llama-a"): """
    0        READY        100    -      -
    0.05     RUNNING      100    -      -
    2.407    READY        100    -      -
    """,
    ("23-swap", "rig/tiny-llama-a"): """
    0        READY        100    -      -
    0.05     NOT_LOADED   -      -      -
    0.101    NOT_LOADED   -      -      -
    0.151    NOT_LOADED   -      -      -
    0.251    NOT_LOADED   -      -      -
    0.353    NOT_LOADED   -      -      -
    1.636    NOT_LOADED   -      -      -
    2.237    NOT_LOADED   -      -      -
    2.537    NOT_LOADED   -      -      -
    2.838    NOT_LOADED   -      -      -
    3.139    NOT_LOADED   -      -      -
    3.44     NOT_LOADED   -      -      -
    3.741    NOT_LOADED   -      -      -
    4.046    NOT_LOADED   -      -      -
    4.348    NOT_LOADED   -      -      -
    4.675    NOT_LOADED   -      -      -
    4.979    NOT_LOADED   -      -      -
    5.28     NOT_LOADED   -      -      -
    5.33     NOT_LOADED   -      -      -
    6.664    NOT_LOADED   -      -      -
    """,
    ("23-swap", "rig/tiny-qwen-b"): """
    0        NOT_LOADED   -      -      -
    0.05     WAITING      -      -      -
    0.101    WAITING      -      -      -
    0.151    WAITING      -      -      -
    0.251    WAITING      -      -      -
    0.353    WAITING      -      -      -
    1.636    LOADING      0      -      -
    2.237    LOADING      8.3    -      -
    2.537    LOADING      16.7   -      -
    2.838    LOADING      25     -      -
    3.139    LOADING      33.3   -      -
    3.44     LOADING      41.7   -      -
    3.741    LOADING      50     -      -
    4.046    LOADING      58.3   -      -
    4.348    LOADING      66.7   -      -
    4.675    LOADING      75     -      -
    4.979    LOADING      83.3   -      -
    5.28     LOADING      100    -      -
    5.33     WARMING_UP   100    -      -
    6.664    READY        100    -      -
    """,
    ("40-download-then-load", "rig/dl-slow"): """
    0        NOT_LOADED   -      -      -
    0.05     WAITING      -      -      -
    0.1      WAITING      -      -      -
    0.251    DOWNLOADING  0      -      -
    1.335    DOWNLOADING  0      -      -
    2.538    DOWNLOADING  14.6   -      -
    3.54     DOWNLOADING  20.8   -      -
    5.514    DOWNLOADING  33.3   -      -
    7.524    DOWNLOADING  45.7   -      -
    8.527    DOWNLOADING  51.9   -      -
    10.537   DOWNLOADING  64.3   -      -
    11.576   DOWNLOADING  70.5   -      -
    13.585   DOWNLOADING  82.9   -      -
    15.593   DOWNLOADING  95.3   -      -
    16.395   WAITING      -      -      -
    16.495   LOADING      0      -      -
    17.146   LOADING      12.5   -      -
    17.397   LOADING      25     -      -
    17.701   LOADING      37.5   -      -
    18.001   LOADING      50     -      -
    18.302   LOADING      62.5   -      -
    18.603   LOADING      75     -      -
    18.909   LOADING      87.5   -      -
    18.959   LOADING      100    -      -
    19.063   WARMING_UP   100    -      -
    20.265   READY        100    -      -
    """,
    ("44-download-failed", "rig/dl-fail"): """
    0        NOT_LOADED   -      -      -
    0.05     WAITING      -      -      -
    0.1      WAITING      -      -      -
    0.203    WAITING      -      -      -
    0.255    DOWNLOADING  0      -      -
    1.291    DOWNLOADING  0      -      -
    8.646    WAITING      -      -      -
    8.696    WAITING      -      -      -
    8.796    DOWNLOADING  1.7    -      -
    9.06     FAILED       -      -      -: Access denied to 'rig/dl-fai
    """,
    ("50-runner-failed", "rig/tiny-broken"): """
    0        NOT_LOADED   -      -      -
    0.05     WAITING      -      -      -
    0.151    WAITING      -      -      -
    0.251    WAITING      -      -      -
    1.674    LOADING      0      -      -
    1.824    FAILED       -      -      1: Runner error: RuntimeError:
    1.877    FAILED       -      -      1: Runner error: RuntimeError:
    1.978    FAILED       -      -      1: Runner error: RuntimeError:
    2.078    FAILED       -      -      1: Runner error: RuntimeError:
    3.135    LOADING      0      -      1: Runner error: RuntimeError:
    3.286    FAILED       -      -      2: Runner error: RuntimeError:
    3.336    FAILED       -      -      2: Runner error: RuntimeError:
    4.089    FAILED       -      -      2: Runner error: RuntimeError:
    4.189    FAILED       -      -      2: Runner error: RuntimeError:
    5.318    WAITING      -      -      2: Runner error: RuntimeError:
    5.519    FAILED       -      -      3: Terminated (exitcode=1)
    5.619    FAILED       -      -      3: Terminated (exitcode=1)
    8.116    FAILED       -      -      3: Terminated (exitcode=1)
    8.166    FAILED       -      -      3: Terminated (exitcode=1)
    8.217    FAILED       -      -      3: Terminated (exitcode=1)
    9.446    LOADING      0      -      3: Terminated (exitcode=1)
    9.647    FAILED       -      -      4: Runner error: RuntimeError:
    16.225   FAILED       -      -      4: Runner error: RuntimeError:
    16.3     FAILED       -      -      4: Runner error: RuntimeError:
    17.406   WAITING      -      -      4: Runner error: RuntimeError:
    17.556   FAILED       -      -      5: Terminated (exitcode=1)
    17.656   FAILED       -      -      5: Terminated (exitcode=1)
    26.281   NOT_LOADED   -      final  5: Terminated (exitcode=1)
    """,
    ("61-two-node-pipeline", "rig/tiny-llama-a"): """
    0        NOT_LOADED   -      -      -
    0.05     WAITING      -      -      -
    0.151    WAITING      -      -      -
    1.955    WAITING      -      -      -
    2.005    WAITING      -      -      -
    2.056    WAITING      -      -      -
    2.142    CONNECTING   -      -      -
    2.649    CONNECTING   -      -      -
    2.737    CONNECTING   -      -      -
    2.788    CONNECTING   -      -      -
    2.838    LOADING      0      -      -
    3.375    LOADING      25     -      -
    3.681    LOADING      37.5   -      -
    3.731    LOADING      50     -      -
    3.978    LOADING      62.5   -      -
    4.028    LOADING      100    -      -
    4.078    LOADING      100    -      -
    4.201    WARMING_UP   100    -      -
    5.674    READY        100    -      -
    """,
    ("62-two-node-chat", "rig/tiny-llama-a"): """
    0        READY        100    -      -
    0.051    RUNNING      100    -      -
    0.101    RUNNING      100    -      -
    2.413    RUNNING      100    -      -
    2.463    READY        100    -      -
    """,
    ("70-kill9-worker-n1", "rig/tiny-llama-a"): """
    -2.004   READY        100    -      -
    6.609    READY        100    -      -
    10.531   READY        100    -      -
    33.343   READY        100    -      -
    43.362   READY        100    -      -
    43.462   READY        100    -      -
    43.58    READY        100    -      -
    """,
    ("70-kill9-worker-n1", "rig/tiny-qwen-b"): """
    -2.004   READY        100    -      -
    6.609    READY        100    -      -
    10.531   UNREACHABLE  -      -      -
    33.343   UNREACHABLE  -      -      -
    43.362   NOT_LOADED   -      final  -: The cluster lost a node that
    43.462   NOT_LOADED   -      final  -: The cluster lost a node that
    43.58    NOT_LOADED   -      final  -: The cluster lost a node that
    """,
    ("72-kill9-master-n3", "rig/tiny-llama-a"): """
    -2.004   READY        100    -      -
    3.323    READY        100    stale  -
    3.43     NOT_LOADED   -      final  -: The cluster lost its master
    3.533    NOT_LOADED   -      final  -: The cluster lost its master
    3.633    NOT_LOADED   -      final  -: The cluster lost its master
    6.436    NOT_LOADED   -      final  -: The cluster lost its master
    6.536    NOT_LOADED   -      final  -: The cluster lost its master
    13.346   NOT_LOADED   -      final  -: The cluster lost its master
    16.45    NOT_LOADED   -      final  -: The cluster lost its master
    """,
}


def _rows(table: str) -> list[tuple[str, ...]]:
    return [tuple(line.split(maxsplit=4)) for line in table.strip().splitlines()]


def _row(t: float, status: ModelStatus, expected_row: str) -> tuple[str, ...]:
    failure = status.failure
    flags = " ".join(word for word, holds in (("final", status.final), ("stale", status.stale)) if holds)
    return (
        f"{t:g}",
        status.phase.value,
        "-" if status.progress_percent is None else f"{status.progress_percent:g}",
        flags or "-",
        # The table holds how the message starts.
        "-" if failure is None else f"{failure.attempt or '-'}: {failure.message}"[: max(4, len(expected_row))],
    )


@pytest.mark.parametrize(("name", "model"), TIMELINES)
def test_every_step_of_a_recording_reads_as_the_rules_say(name: str, model: str) -> None:
    expected = _rows(TIMELINES[name, model])
    read = [
        _row(t, snapshot.status(model), expected_row[-1])
        for (t, snapshot), expected_row in zip(walk(name), expected, strict=True)
    ]
    assert read == expected


def test_a_second_instance_has_a_phase_of_its_own_beside_the_one_that_serves() -> None:
    phases = [
        (
            t,
            *(
                snapshot.instance_statuses[instance.id].phase.value
                for instance in snapshot.instances_of("rig/tiny-llama-a")
            ),
        )
        for t, snapshot in walk("21-double-place")
    ]
    second = [phase[2] for phase in phases if len(phase) == 3]
    assert phases[0] == (0.0, "RUNNING")
    assert {phase[1] for phase in phases[:-1]} == {"RUNNING"}
    assert list(dict.fromkeys(second)) == ["WAITING", "LOADING", "WARMING_UP", "READY"]
    assert phases[-1] == (10.874, "READY", "READY")


def test_the_phases_of_two_instances_are_the_best_of_them() -> None:
    changes = [(t, s.status("rig/tiny-llama-a")) for t, s in walk("21-double-place")]
    assert [status.phase.value for _, status in changes] == ["RUNNING"] * 13 + ["READY"]
    assert [len(status.instance_ids) for _, status in changes] == [1] + [2] * 13


def test_a_cluster_forms_without_a_model() -> None:
    seen = [
        (s.node_count, s.online_node_count, s.nodes_without_memory, s.loaded_model_count) for _, s in walk("01-boot-n1")
    ]
    assert seen == [(1, 1, 0, 0)] * 3 + [(2, 2, 0, 0)] * 5


@pytest.mark.parametrize("name", NAMES)
def test_download_noise_is_no_download(name: str) -> None:
    for t, snapshot in walk(name):
        statuses = Counter(snapshot.download_status(download) for download in snapshot.all_downloads)
        assert len(snapshot.all_downloads) == sum(len(entries) for entries in snapshot.state.downloads.values()), t
        assert snapshot.active_download_count == statuses[DownloadStatus.DOWNLOADING] <= 1
        waiting = {d.model_id for d in snapshot.all_downloads if snapshot.download_status(d) is DownloadStatus.PENDING}
        assert waiting <= {"rig/dl-slow", "rig/dl-fail"} & set(snapshot.instances_by_model)


@pytest.mark.parametrize("name", ["10-place-load-ready", "23-swap", "44-download-failed", "70-kill9-worker-n1"])
def test_runners_and_tasks_of_instances_that_are_gone_count_nowhere(name: str) -> None:
    for _, snapshot in walk(name):
        listed = {shard.runner_id for i in snapshot.state.instances.values() for shard in i.shards}
        assert set(snapshot.state.runners) - listed or not snapshot.state.instances or name == "70-kill9-worker-n1"
        assert {task.instance_id for task in snapshot.tasks} <= set(snapshot.state.instances)
        assert snapshot.loaded_model_count == len({i.model_id for i in snapshot.state.instances.values()})
        assert snapshot.active_task_count == 0


def test_a_chat_is_one_active_task_while_it_lasts() -> None:
    assert [snapshot.active_task_count for _, snapshot in walk("62-two-node-chat")] == [0, 1, 1, 0, 0]
