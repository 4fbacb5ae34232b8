"""Units: what is unknown stays unknown, and no rounding makes it 0."""

import pytest

from exo_graphql.cluster.state import Download, DownloadKind, Node
from exo_graphql.cluster.units import GIB, gib, percent, share_percent


@pytest.mark.parametrize(("size", "text"), [(None, None), (0, 0.0), (GIB, 1.0), (GIB // 2, 0.5), (GIB * 690, 690.0)])
def test_bytes_as_gib(size: int | None, text: float | None) -> None:
    assert gib(size) == text


@pytest.mark.parametrize(
    ("part", "whole", "result"),
    [(334, 1024, 32.6), (0, 10, 0.0), (None, 10, None), (1, None, None), (1, 0, None), (11, 10, 100.0)],
)
def test_a_share_of_a_whole(part: float | None, whole: float | None, result: float | None) -> None:
    assert percent(part, whole) == result


def test_a_share_from_0_to_1_becomes_percent() -> None:
    assert (share_percent(0.1234), share_percent(0.0), share_percent(None)) == (12.3, 0.0, None)


@pytest.mark.parametrize(
    ("reported", "shown"), [(1.0, 100.0), (45.0, 45.0), (100.0, 100.0), (100.1, None), (-0.1, None)]
)
def test_what_cannot_be_a_share_is_a_percentage_or_unknown(reported: float, shown: float | None) -> None:
    assert share_percent(reported) == shown


def test_what_a_node_has_not_reported_is_none_in_every_unit() -> None:
    node = Node("n")
    derived = [name for name in dir(Node) if isinstance(getattr(Node, name), property)]
    assert len(derived) == 10
    assert {getattr(node, name) for name in derived} == {None}


def test_what_a_download_does_not_report_is_none_in_every_unit() -> None:
    download = Download("n", "m", DownloadKind.UNKNOWN)
    reported = ("downloaded_gb", "total_gb", "progress_percent", "speed_mb_s", "eta_seconds")
    assert {getattr(download, name) for name in reported} == {None}


def test_a_speed_is_mib_and_an_estimate_seconds() -> None:
    download = Download("n", "m", DownloadKind.ONGOING, GIB, 4 * GIB, speed=100.5 * 2**20, eta_ms=30_449)
    assert (download.progress_percent, download.speed_mb_s, download.eta_seconds) == (25.0, 100.5, 30.4)
