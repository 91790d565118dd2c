"""Adapters: one module per framework, imported only by its users."""
