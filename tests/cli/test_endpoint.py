"""The ways to write where the server is."""

import pytest

from exo_graphql.cli.endpoint import endpoint, endpoint_at, is_loopback


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("http://studio.local:52416", "http://studio.local:52416/graphql"),
        ("http://studio.local:52416/", "http://studio.local:52416/graphql"),
        ("studio.local:52416", "http://studio.local:52416/graphql"),
        ("localhost", "http://localhost/graphql"),
        ("https://studio.example/exo/graphql", "https://studio.example/exo/graphql"),
        ("https://studio.example/exo", "https://studio.example/exo/graphql"),
        ("https://studio.example/exo/", "https://studio.example/exo/graphql"),
        ("https://studio.example/exo/graphql/", "https://studio.example/exo/graphql"),
        ("  http://127.0.0.1:1 ", "http://127.0.0.1:1/graphql"),
        ("http://[::1]:52416", "http://[::1]:52416/graphql"),
    ],
)
def test_the_endpoint_ends_with_graphql(written: str, expected: str) -> None:
    assert endpoint(written) == expected


@pytest.mark.parametrize("written", ["", "ftp://studio", "http://", "http://studio:port", "http://studio:99999", "a b"])
def test_what_names_no_server_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"neither http nor https|no valid port|names no server"):
        endpoint(written)


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("studio.local", None, "http://studio.local:52416/graphql"),
        (None, 9, "http://127.0.0.1:9/graphql"),
        ("fe80::1", 9, "http://[fe80::1]:9/graphql"),
        ("[::1]", 9, "http://[::1]:9/graphql"),
    ],
)
def test_host_and_port_are_another_way_to_write_it(host: str | None, port: int | None, expected: str) -> None:
    assert endpoint_at(host, port) == expected


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:1/graphql", True),
        ("http://localhost/graphql", True),
        ("http://[::1]:1/graphql", True),
        ("http://127.studio.example/graphql", False),
        ("http://192.168.1.21/graphql", False),
    ],
)
def test_loopback_is_known(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback
