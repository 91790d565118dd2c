"""Stores on SQL databases: one schema (`tables`), its history (`migrations`), and what the statements mean."""
