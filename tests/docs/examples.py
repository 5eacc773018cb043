"""The examples of a page of documentation: its fenced blocks, and what each is shown to print."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(
    r"(?:^<!-- scene: (?P<scene>[a-z-]+) -->\n+)?"
    r"^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_PRINTED = re.compile(r"^\s*print\(.*\)  # (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """One fenced block."""

    page: Path
    line: int
    language: str
    title: str
    scene: str
    """What the scripted providers do while it runs; named in a comment that readers do not see."""
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def printed(self) -> list[str]:
        """What the comments behind its `print(...)` say it prints, in order."""
        return _PRINTED.findall(self.text)


def examples(page: Path, *languages: str) -> list[Example]:
    """The fenced blocks of a page, of all languages or of these."""
    source = page.read_text()
    found = [
        Example(
            page=page,
            line=source.count("\n", 0, match.start("language")) + 1,
            language=match["language"],
            title=match["title"] or "",
            scene=match["scene"] or "",
            text=match["text"],
        )
        for match in _BLOCK.finditer(source)
    ]
    return [example for example in found if not languages or example.language in languages]
