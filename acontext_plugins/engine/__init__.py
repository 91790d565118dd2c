"""The engine: records, observes, learns, retrieves and injects, over any Store."""
