"""HTML pages from templates: everything that comes from data is escaped, and no script but ours can run.

Surprise: the script's hash stands in the page's Content-Security-Policy, so the script is put in byte for byte, and a browser
refuses every other one, even if an escape were forgotten.
"""

import base64
import hashlib
from importlib.resources import files
from typing import Any


def render(package: str, template: str, **context: Any) -> str:
    """Fill a template.

    Args:
        package: whose `templates` folder holds it; `page.html` is at hand for all.
        template: its file name.
        context: what it shows.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "templates"), PackageLoader("curation", "templates")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    script = (files("curation") / "templates" / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return environment.get_template(template).render(
        **context,
        page_script=Markup(script),  # noqa: S704 - our own file
        page_script_hash=digest,
    )


def percent(share: float | None) -> str:
    """A share for reading: "4.2 %", or "-" where there is none."""
    return "-" if share is None else f"{100 * share:.1f} %"
