"""Inference engines and their common protocol."""

from curation.engines.base import Engine, Message, Reply, Sampling, take_apart

__all__ = ["Engine", "Message", "Reply", "Sampling", "take_apart"]
