"""HTML pages from templates: all data is escaped, known secrets are hidden, and only our own script can run.

The surprise: the script's hash is in the page's Content-Security-Policy, so the script must be inserted byte for byte, and a
browser blocks every other script, even if escaping were missing somewhere.
"""

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from curation.masking import mask_words
from schemas.hiding import hide_known

if TYPE_CHECKING:
    from jinja2 import Environment


def render(package: str, template: str, **context: Any) -> str:
    """Fill a template.

    Args:
        package: the package whose `templates` folder has it; `page.html` is available to all.
        template: its file name.
        context: its variables.
    """
    from markupsafe import Markup

    script = (files("curation") / "templates" / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    page = (
        _environment(package)
        .get_template(template)
        .render(
            **context,
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
    environment.filters |= {"percent": percent, "masked": mask_words}
    return environment


def percent(share: float | None) -> str:
    """A formatted share: "4.2 %", or "-" for null."""
    return "-" if share is None else f"{100 * share:.1f} %"
