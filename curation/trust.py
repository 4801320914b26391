"""What a recipe may reach beyond itself: files beside it, and the keys that the user allows.

A recipe may come from somebody else, so a name in it is no permission. What the user types on the command line is.
"""

import os
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from schemas.errors import RecipeError
from schemas.hiding import remember, watch

ALLOWED = "CURATE_ALLOW_ENV"
"""Environment variable that lists the variables whose value a recipe may send to its server, with commas between."""
USUAL_KEY = "OPENAI_API_KEY"
watch(os.environ)


def beside(recipe: Path, name: str) -> Path:
    """The file that a recipe names, which must lie in the recipe's folder or below.

    Raises:
        RecipeError: if it lies elsewhere, also by a link.
    """
    path = recipe.parent / name
    try:
        found = path.resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise RecipeError(f"{name!r} is no name of a file ({error})") from error
    if not found.is_relative_to(recipe.parent.resolve()):
        raise RecipeError(
            f"{name} is not beside {recipe}; a recipe may only name files in its own folder: copy it there"
        )
    return path


def check_keys(recipe: Path, data: Any) -> None:
    """Check that a recipe sends no key to a server unless the user allows it.

    A variable whose name ends in `_API_KEY` may go to a server on this machine; every other case needs `--allow-env`.

    Args:
        recipe: the file.
        data: what is in it.

    Raises:
        RecipeError: naming the variable and the server.
    """
    for settings in _servers(data):
        url, variable = str(settings.get("base_url", "")), str(settings.get("api_key_env", USUAL_KEY))
        usual = variable.endswith("_API_KEY") and (not url or _on_this_machine(url))
        if usual or variable in os.environ.get(ALLOWED, "").split(","):
            continue
        if variable in os.environ or "api_key_env" in settings:
            raise RecipeError(
                f"{recipe}: sends the value of ${variable} to {url or 'a server'}; if that is meant, put --allow-env {variable} "
                "right after the name of the program"
            )


def key_in(variable: str) -> str:
    """The key in an environment variable, "" where there is none; it is hidden from now on.

    Raises:
        RecipeError: if no HTTP header can hold it.
    """
    return sendable(os.environ.get(variable, ""), f"${variable}")


def sendable(key: str, name: str) -> str:
    """A key as it goes into an HTTP header, without white space around it; it is hidden from now on.

    Raises:
        RecipeError: if a header cannot hold it; says which character, not the key.
    """
    remember(key)
    key = key.strip()
    wrong = [place for place, character in enumerate(key, 1) if not "!" <= character <= "~"]
    if wrong:
        raise RecipeError(
            f"{name}: character {wrong[0]} of {len(key)} cannot be sent in an HTTP header; copy the key again, without "
            "quotes, accents or line breaks"
        )
    return key


def hide_password(url: str) -> None:
    """Hide the password in an address from now on, as it stands there and as it is sent."""
    try:
        found = urlsplit(url).password or ""
    except ValueError:
        return
    remember(found)
    remember(unquote(found))


def _servers(data: Any) -> Iterator[dict[str, Any]]:
    if isinstance(data, dict):
        if "base_url" in data or "api_key_env" in data:
            yield data
        data = list(data.values())
    if isinstance(data, list):
        for inner in data:
            yield from _servers(inner)


def _on_this_machine(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
