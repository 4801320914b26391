"""PreSafe: auxiliary supervision of the state before the chain of thought (arXiv 2603.17368)."""

from sft.training.presafe.head import Head, Listener, load_head, pool, save_head
from sft.training.presafe.study import Study
from sft.training.presafe.supervision import COLUMN, AuxiliaryHead, targets

__all__ = [
    "COLUMN",
    "AuxiliaryHead",
    "Head",
    "Listener",
    "Study",
    "load_head",
    "pool",
    "save_head",
    "targets",
]
