"""The licences of the direct dependencies, as the table in docs/security.md; run it after a dependency was added.

    python requirements/licences.py

It reads pyproject.toml and the metadata of what is installed. The line of a package that is not installed here stays as it was.
"""

import re
import tomllib
from email.message import Message
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "security.md"
BEGIN, END = "<!-- licences: made by requirements/licences.py -->", "<!-- end of licences -->"


def direct() -> dict[str, str]:
    """Each direct dependency, and which extra asks for it ("" for all)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, str] = {}
    for extra, lines in {"": project["dependencies"], **project["optional-dependencies"]}.items():
        for line in lines:
            found.setdefault(_name(line), extra)
    found.pop(project["name"], None)  # an extra may ask for another extra
    return found


def licence(package: str) -> str | None:
    """The licence as a package's own metadata has it; null where it is not installed."""
    try:
        about: Message = metadata.metadata(package)  # type: ignore[assignment]
    except metadata.PackageNotFoundError:
        return None
    if expression := about.get("License-Expression"):
        return str(expression)
    stated = str(about.get("License") or "").strip()
    classified = [
        str(line).rpartition(" :: ")[2]
        for line in about.get_all("Classifier") or ()
        if str(line).startswith("License ::") and not str(line).endswith("OSI Approved")
    ]
    return "; ".join(classified) or (stated.splitlines()[0] if stated else _from_file(package))


def _from_file(package: str) -> str:
    """The first line of the licence that comes with a package whose metadata does not name it."""
    texts = [file.read_text() for file in metadata.files(package) or () if file.name.startswith("LICENSE")]
    return next((text.strip().splitlines()[0] for text in texts if text.strip()), "not stated")


def table(page: str) -> str:
    """The table as it should be.

    Args:
        page: the text of docs/security.md, for packages that are not installed here.
    """
    before = dict(re.findall(r"^\| ([\w.-]+) \| [\w-]* ?\| (.+) \|$", page, re.MULTILINE))
    lines = ["| package | extra | licence |", "|---|---|---|"]
    for package, extra in sorted(direct().items()):
        known = licence(package) or before.get(package, "not installed where this list was made")
        lines.append(f"| {package} | {extra} | {known} |".replace("|  |", "| |"))
    return "\n".join(lines)


def renewed(page: str) -> str:
    """The page with its table made anew."""
    start, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    return f"{page[:start]}\n{table(page)}\n{page[end:]}"


def _name(line: str) -> str:
    match = re.match(r"[\w.-]+", line)
    assert match
    return match[0].lower().replace("_", "-")


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
