"""Tools that models call: their schemas for each provider, and what they do."""

from .disk import DISK_TOOLS, DiskContext
from .tools import Tool, ToolPool

__all__ = ["DISK_TOOLS", "DiskContext", "Tool", "ToolPool"]
