"""Prefills: beginnings of risky reasonings from which a model goes on."""
