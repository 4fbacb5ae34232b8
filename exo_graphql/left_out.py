"""What libraries import at once for uses that this program does not make of them, and that it leaves out.

- `httpx._main`: httpx's command line, with click and pygments: 20 ms and 3.5 MB. httpx does without it where it cannot
  be imported.
- `uvicorn.main`: uvicorn's, with click and what restarts processes: 8 ms and 1.4 MB. Libraries (sse-starlette, which
  MCP's SDK loads) also take the class `Server` from there, which has a module of its own.
"""

import importlib
import sys
from types import ModuleType


def leave_out() -> None:
    """Call it before any of these libraries is imported."""
    sys.modules["httpx._main"] = None  # type: ignore[assignment]  # Python's way to say that it cannot be imported
    main = ModuleType("uvicorn.main", "See exo_graphql.left_out.")
    main.__getattr__ = _of_uvicorn  # type: ignore[method-assign]  # as PEP 562 has it
    sys.modules["uvicorn.main"] = main


def _of_uvicorn(name: str) -> object:
    if name == "Server":
        return importlib.import_module("uvicorn.server").Server
    if name in ("main", "run"):
        return None  # which `import uvicorn` takes from there; they cannot be called
    raise AttributeError(name)
