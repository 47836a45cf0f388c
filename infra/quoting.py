"""Has the pages for neighbours quote the examples as they are, so that what is read is what was tested.

A page names a file in a comment of its own line; the block of code behind that line is the file's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PAGES = ("docs/producing.md", "docs/consuming.md", "docs/correcting.md")

_LANGUAGES = {".py": "python", ".mjs": "js"}
_QUOTATION = re.compile(r"^<!-- quotes (?P<path>\S+) -->\n(?:```\w*\n.*?^```\n)?", re.MULTILINE | re.DOTALL)


def quoting_page(root: Path, page: str) -> str:
    """Return a page with every quotation as its file is now.

    Args:
        root: Of the checkout.
        page: Its path from there.
    """

    def quote(found: re.Match[str]) -> str:
        file = root / found["path"]
        return f"<!-- quotes {found['path']} -->\n```{_LANGUAGES[file.suffix]}\n{file.read_text()}```\n"

    return _QUOTATION.sub(quote, (root / page).read_text())
