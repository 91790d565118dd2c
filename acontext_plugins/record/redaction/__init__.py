"""Secrets never reach the disk: found by shape and by context, then masked by value for the rest of a session."""

from .redactor import Redacted, Redactor, placeholder

__all__ = ["Redacted", "Redactor", "placeholder"]
