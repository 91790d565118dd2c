"""Blob stores: bytes by their SHA-256."""
