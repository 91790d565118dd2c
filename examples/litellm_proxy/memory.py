"""Beside config.yaml, where every version of the proxy looks for callbacks."""

from acontext_adapters.litellm import proxy_handler

__all__ = ["proxy_handler"]
