"""The pages' third-party files, fetched by the real npm from a registry that the test itself serves."""

import base64
import hashlib
import io
import json
import socket
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from exo_graphql.web.vendor import FetchError, Package, fetch, missing, packages


def _tarball(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _integrity(tarball: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(tarball).digest()).decode()


class Registry(ThreadingHTTPServer):
    """Answers as an npm registry does, with checksums that match the bytes it was given; counts the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tarballs: dict[str, bytes] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def publish(self, name: str, files: dict[str, bytes]) -> Package:
        """Publish `name` at 1.0.0; returns the pin that matches it."""
        files = {"package.json": json.dumps({"name": name, "version": "1.0.0"}).encode(), **files}
        self.tarballs[name] = _tarball(files)
        return Package(name, "1.0.0", _integrity(self.tarballs[name]), tuple(files))


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        registry = self.server
        assert isinstance(registry, Registry)
        registry.asked.append(self.path)
        name = unquote(self.path.removeprefix("/").removesuffix(".tgz"))
        if (tarball := registry.tarballs.get(name)) is None:
            self._answer(404, b"{}")
        elif self.path.endswith(".tgz"):
            self._answer(200, tarball)
        else:
            dist = {"tarball": f"{registry.url}/{name}.tgz", "integrity": _integrity(tarball)}
            version = {"name": name, "version": "1.0.0", "dist": dist}
            document = {"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
            self._answer(200, json.dumps(document).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Silent."""


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Registry]:
    with Registry() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("npm_config_registry", server.url)
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))
        yield server
        server.shutdown()
        thread.join()


def test_every_pinned_file_is_kept_in_a_folder_that_names_its_version(registry: Registry, tmp_path: Path) -> None:
    plain = registry.publish("plain", {"umd/plain.min.js": b"one"})
    scoped = registry.publish("@some/scoped", {"index.js": b"two"})
    vendor = tmp_path / "vendor"
    fetch((plain, scoped), vendor)
    assert (vendor / "plain-1.0.0" / "plain.min.js").read_bytes() == b"one"
    assert (vendor / "some-scoped-1.0.0" / "index.js").read_bytes() == b"two"
    assert missing((plain, scoped), vendor) == {}


def test_other_bytes_than_the_pinned_ones_are_refused(registry: Registry, tmp_path: Path) -> None:
    pinned = registry.publish("plain", {"plain.js": b"what was reviewed"})
    registry.publish("plain", {"plain.js": b"what an attacker put in its place"})
    with pytest.raises(FetchError, match=r"plain@1\.0\.0 from npm is not the pinned one"):
        fetch((pinned,), tmp_path)
    assert missing((pinned,), tmp_path) == {pinned: ["package.json", "plain.js"]}


def test_a_complete_folder_causes_no_request_to_the_registry(registry: Registry, tmp_path: Path) -> None:
    plain = registry.publish("plain", {"plain.js": b"one"})
    fetch((plain,), tmp_path)
    asked = len(registry.asked)
    fetch((plain,), tmp_path)
    assert asked > 0
    assert len(registry.asked) == asked


def test_a_version_that_is_no_longer_pinned_is_dropped(registry: Registry, tmp_path: Path) -> None:
    plain = registry.publish("plain", {"plain.js": b"one"})
    old = tmp_path / "plain-0.9.0"
    old.mkdir()
    (old / "plain.js").write_bytes(b"old")
    fetch((plain,), tmp_path)
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith("plain")] == ["plain-1.0.0"]


def test_a_file_that_the_package_lacks_is_named(registry: Registry, tmp_path: Path) -> None:
    plain = replace(registry.publish("plain", {}), files=("dist/absent.js",))
    with pytest.raises(FetchError, match=r"plain@1\.0\.0 holds no file dist/absent\.js"):
        fetch((plain,), tmp_path / "vendor")
    assert list((tmp_path / "vendor").iterdir()) == []


def test_a_registry_out_of_reach_is_an_error_with_npms_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))
    with pytest.raises(FetchError, match="ECONNREFUSED"):
        fetch((Package("plain", "1.0.0", "sha512-", ("plain.js",)),), tmp_path / "vendor")


def test_a_registry_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))
        with pytest.raises(FetchError, match="npm did not answer within 1 s"):
            fetch((Package("plain", "1.0.0", "sha512-", ("plain.js",)),), tmp_path / "vendor", timeout_s=1)


def test_the_packaged_pins_are_exact_and_in_the_order_of_their_needs() -> None:
    table = packages()
    assert [package.name for package in table] == [
        "react",
        "react-dom",
        "graphiql",
        "@graphiql/plugin-explorer",
        "graphql-ws",
    ]
    for package in table:
        assert package.version.replace(".", "").isdigit()
        assert len(base64.b64decode(package.integrity.removeprefix("sha512-"))) == 64
