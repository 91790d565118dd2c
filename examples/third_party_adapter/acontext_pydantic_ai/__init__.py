"""learning() for pydantic-ai, written by docs/extend/adapter.md."""

from acontext_plugins.learning import loaded


class adapter:  # noqa: N801
    """The adapter. It imports no framework: what needs pydantic-ai is imported when an agent of it is there."""

    name, priority = "pydantic-ai", 50
    matches = staticmethod(loaded("pydantic_ai", "Agent"))

    def wrap(self, target, runtime):
        from .memory import learned

        return learned(target, runtime)
