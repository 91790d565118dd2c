"""Prompts: files with a name, a version and inputs, and how what was recorded is fenced off in them.

A prompt is `NAME.md`: a head between `---` lines (`name`, `version`, `inputs`), then `# system` and `# user`, each with
`{{input}}` where an input goes. A folder of the user's own (`ACONTEXT_PROMPTS`) may replace any of them.
"""

from .fencing import Delimiters
from .load import Prompt, load_prompt, prompt_names

__all__ = ["Delimiters", "Prompt", "load_prompt", "prompt_names"]
