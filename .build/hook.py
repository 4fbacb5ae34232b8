"""The build hook: puts the pages' browser files into the wheel (or, for `pip install -e`, into the tree).

Runs inside hatchling, before the project's dependencies exist. A registry out of reach must not stop an
installation: GraphiQL then says what is missing and how to get it, and all else works.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PagesHook(BuildHookInterface[Any]):
    """Fetches what `exo_graphql/web/pins.toml` names and the tree does not have yet."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Called before each wheel, editable or not; `artifacts` in pyproject.toml picks up the files."""
        vendor = _load(Path(self.root) / "exo_graphql" / "web" / "vendor.py")
        try:
            vendor.fetch(vendor.packages())
        except (vendor.FetchError, OSError) as error:
            self.app.display_warning(f"GraphiQL's browser files could not be fetched: {error}")


def _load(path: Path) -> ModuleType:
    """By path: importing the package would import dependencies that a build does not have."""
    spec = importlib.util.spec_from_file_location("exo_graphql_pages_vendor", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up there
    spec.loader.exec_module(module)
    return module
