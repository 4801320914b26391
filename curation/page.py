"""HTML pages from templates: all data is escaped, known secrets are hidden, and only our own script can run.

The surprise: the script's hash is in the page's Content-Security-Policy, so the script must be inserted byte for byte, and a
browser blocks every other script, even if escaping were missing somewhere.
"""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from curation.masking import mask_words
from schemas.hiding import hide_known

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

HEADING = re.compile(r'<h2 id="([\w-]+)">(.*?)</h2>', re.DOTALL)


class Heading(NamedTuple):
    """A line of the list of contents."""

    id: str
    text: "Markup"


def render(package: str, template: str, **context: Any) -> str:
    """Fill a template.

    Args:
        package: the package whose `templates` folder has it; `page.html` and `charts.html` are available to all.
        template: its file name.
        context: its variables; `headline` is what the page says first.
    """
    from markupsafe import Markup

    script = (files("curation") / "templates" / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    page = (
        _environment(package)
        .get_template(template)
        .render(
            **{"headline": None, **context},
            page_script=Markup(script),  # noqa: S704 - our own file
            page_script_hash=digest,
        )
    )
    return hide_known(page)


@cache
def _environment(package: str) -> "Environment":
    """Templates of a package; kept, since a page of `curate view` is made for each request."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "templates"), PackageLoader("curation", "templates")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "masked": mask_words, "headings": headings}
    return environment


def headings(body: "Markup") -> list[Heading]:
    """The headings of a page that have an id; text of data is escaped in it, so it can add none."""
    from markupsafe import Markup

    return [Heading(id, Markup(text)) for id, text in HEADING.findall(body)]  # noqa: S704 - a piece of the page


def percent(share: float | None) -> str:
    """A formatted share: "4.2 %", or "-" for null."""
    return "-" if share is None else f"{100 * share:.1f} %"
