"""axe-core, npm's accessibility engine, on a page in a browser."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.node_tools import NodeTools

if TYPE_CHECKING:
    from playwright.async_api import Page


@cache
def _source(folder: Path) -> str:
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


async def violations(page: Page, tools: NodeTools) -> list[str]:
    """What axe finds wrong with the page as it is shown now: each rule with the elements that break it."""
    # Evaluated, not inserted as a script: the page's content security policy forbids that.
    await page.evaluate(_source(tools.folder))
    found: list[str] = await page.evaluate(
        """async () => {
          const { violations } = await axe.run(document, { resultTypes: ["violations"] });
          return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`);
        }"""
    )
    return found
