"""How an object shows itself in a notebook: a heading and tables, in HTML of which every text is escaped.

Notebooks are saved and sent around with what they show, so what comes here must be masked already; known secrets are hidden here.
"""

import re
from collections.abc import Mapping, Sequence
from unicodedata import category
from xml.etree.ElementTree import Element, SubElement, tostring

from schemas.hiding import hide_known

Rows = Sequence[Mapping[str, object]]
MOST_ROWS = 50
"""Of a table; how many there are stands below it."""


def page(heading: str, tables: Mapping[str, Rows]) -> str:
    """A heading, and the tables that have rows, each under its name."""
    root = Element("div")
    SubElement(root, "strong").text = clean(heading)
    for name, rows in tables.items():
        if rows:
            _add_table(root, name, rows)
    return hide_known(tostring(root, encoding="unicode", method="html"))


def pairs(values: Mapping[str, object], key: str = "", value: str = "") -> list[dict[str, object]]:
    """A mapping as rows of a table with two columns; what is null is left out."""
    return [{key: name, value or " ": given} for name, given in values.items() if given is not None]


def clean(text: object) -> str:
    """A value as text that any page and file can hold: no control or direction marks, no unpaired surrogates."""
    text = f"{text:.4g}" if isinstance(text, float) else text
    return re.sub(r"[^\n\t\x20-\x7e]", _replaced, str(text))


def _replaced(character: re.Match[str]) -> str:
    return "\N{REPLACEMENT CHARACTER}" if category(character[0]).startswith("C") else character[0]


def _add_table(root: Element, name: str, rows: Rows) -> None:
    table = SubElement(root, "table")
    if name:
        SubElement(table, "caption").text = clean(name)
    columns = list(rows[0])
    heading = SubElement(table, "tr")
    for column in columns:
        SubElement(heading, "th").text = clean(column)
    for row in rows[:MOST_ROWS]:
        line = SubElement(table, "tr")
        for column in columns:
            SubElement(line, "td").text = clean(row[column])
    if len(rows) > MOST_ROWS:
        SubElement(root, "p").text = f"{MOST_ROWS} of {len(rows):,} rows"
