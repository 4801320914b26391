"""Responses: a model's text, or an API's message, to reasoning and answer, or to why it cannot be used. Nothing else in the project does it.

`splitting` reads texts, `messages` the assistant's message of any API, `markups` knows the families of think tags, `finish`
the words by which APIs say why a generation ended.
"""

from schemas.response.fault import Fault, Split
from schemas.response.loops import LOOP_PERIOD, loop_length
from schemas.response.markups import CLOSE, OPEN
from schemas.response.splitting import ReadResponse, read, separate, split

__all__ = [
    "CLOSE",
    "LOOP_PERIOD",
    "OPEN",
    "Fault",
    "ReadResponse",
    "Split",
    "loop_length",
    "read",
    "separate",
    "split",
]
