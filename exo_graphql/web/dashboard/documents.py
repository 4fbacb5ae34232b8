"""The GraphQL documents that the dashboard sends, as texts: for a server that executes trusted documents only."""

import re
from pathlib import Path

_SOURCE = Path(__file__).parent / "static" / "documents.js"
_TEMPLATE = re.compile(r"const (\w+) = `([^`]*)`")
_REFERENCE = re.compile(r"\$\{(\w+)\}")


def dashboard_documents() -> dict[str, str]:
    """Each text by its name in `documents.js`, with the fragments that it uses, byte for byte as the page sends it."""
    templates = dict(_TEMPLATE.findall(_SOURCE.read_text(encoding="utf-8")))
    # Fragments hold no references themselves.
    texts = {name: _REFERENCE.sub(lambda found: templates[found[1]], text) for name, text in templates.items()}
    return {name: text for name, text in texts.items() if not text.lstrip().startswith("fragment")}
