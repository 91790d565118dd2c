"""Threads and event loops: a loop in the background, and work that gives way to the host."""
