"""The tables of docs/bring-your-own.md, from the formats and fields that there are. `python -m tests.docs.tables` writes them."""

import re
from pathlib import Path

from curation.ingest.fields import INTEGERS, META
from curation.ingest.formats import FORMATS
from curation.ingest.recipe import SETTABLE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bring-your-own.md"


def formats() -> list[str]:
    lines = ["| format | recognized by | brings | what |", "|---|---|---|---|"]
    for name, form in FORMATS.items():
        sets = ", ".join(f"`{' + '.join(sorted(needed))}`" for needed in form.columns)
        brings = (
            form.makes
            + (" and annotations" if form.judged else "")
            + (f", kind {form.kind}" if form.kind else "")
        )
        lines.append(f"| `{name}` | {sets} | {brings} | {form.help.replace('|', '/')} |")
    return lines


def fields() -> list[str]:
    lines = ["| field | type | by `--set-field` |", "|---|---|---|"]
    for name in sorted(META):
        can = "yes" if name in SETTABLE else "no"
        lines.append(f"| `{name}` | {'whole number' if name in INTEGERS else 'text'} | {can} |")
    return lines


def renewed(text: str) -> str:
    """The page with the tables of today."""
    for name, lines in (("formats", formats()), ("fields", fields())):
        start = rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end -->)"
        table = "\n".join(lines)
        text = re.sub(
            start, lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text, flags=re.DOTALL
        )
    return text


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
