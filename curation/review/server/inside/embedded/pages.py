"""What we change of the web page: no font is fetched from the network, and a long trace has a list of its marks (`review.js`)."""

import re
from pathlib import Path

WEB_FONTS = re.compile(rb"@import url\([^)]*//fonts\.(?:googleapis|gstatic)\.com[^)]*\);?")
SCRIPT = Path(__file__).with_name("review.js")
TAG = f'<script src="/{SCRIPT.name}" defer></script>'


def change(scratch: Path) -> None:
    """Change the copy of the page that the server made below a folder at its start."""
    for style in scratch.rglob("*.css"):
        text = style.read_bytes()
        if (without := WEB_FONTS.sub(b"", text)) != text:
            style.write_bytes(without)
    for page in scratch.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        page.write_text(html.replace("</body>", f"{TAG}</body>"), encoding="utf-8")
    for statics in scratch.rglob("statics"):
        (statics / SCRIPT.name).write_bytes(SCRIPT.read_bytes())
