"""Engines: what answers prompts, and the one protocol that all of them speak."""

from curation.engines.base import Engine, FinishReason, Message, Reply, Sampling, take_apart

__all__ = ["Engine", "FinishReason", "Message", "Reply", "Sampling", "take_apart"]
