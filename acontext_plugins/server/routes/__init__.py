"""The routes: a line each over the service."""
