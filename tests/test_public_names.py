"""What is public: these names and no others. One that appears, or goes, is a line here and in the changelog."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import acontext_plugins
from acontext_plugins import errors
from acontext_store import errors as store_errors

ROOT = Path(__file__).parent.parent
#: By module: what `from module import *` gives. Other modules, and other names in these, may change with any version.
PUBLIC = {
    "acontext_plugins": """
        Acontext AcontextError AsyncAcontext Closed Conflict FileUpload InvalidInput NotFound Settings StoreUnavailable
        current_run learning report""",
    "acontext_plugins.client": "Acontext AsyncAcontext",
    "acontext_plugins.errors": """
        AcontextError BudgetSpent Closed Conflict IncompatibleStore InvalidAnswer InvalidInput LearningUnavailable
        LeaseLost NotFound PromptTooLong Refused StoreReplaced StoreUnavailable Unauthorized""",
    "acontext_plugins.formats": """
        FORMATS Foreign Format Rules all_formats as_it_came find_format format_of from_acontext from_anthropic
        from_gemini from_message from_messages from_openai from_response_output from_responses item_by_item
        lost_marks named_items plain read_out to_acontext to_anthropic to_anthropic_messages to_gemini
        to_gemini_contents to_message to_openai to_openai_messages to_response_items to_responses""",
    "acontext_plugins.learning": "Adapter client_or_default current_run learning loaded report",
    "acontext_plugins.llm": "Embedder Job LLM Purpose Reply Request ToolCall Usage ask_for",
    "acontext_plugins.protocols": """
        Batch BatchObserver BatchLimits FinishedTask Learner LearningInput MOST_EARLIER Observation Observer""",
    "acontext_plugins.runs": """
        HasConnection InjectionOptions LearningOptions RecordingClient Run RunKind RunOptions Runtime current_run
        reason_of report""",
    "acontext_plugins.service": """
        Confirmation FlagResult FlushResult InjectAs Job JobStatus MessagesPage Recall RecallQuery Recording SearchItem
        Service SessionRef ShownTurns SkillsBlock SpaceSearchResult TokenCounts""",
    "acontext_plugins.settings": """
        EmbeddingSettings LLMSettings LearnSettings ObserveSettings RecorderSettings RedactionSettings RemoteSettings
        ScoringRule SearchSettings ServerSettings Settings WorkerSettings load_settings""",
    "acontext_plugins.testing": """
        Asked Cut Hang Raw Refusal ScriptedEmbedder ScriptedLLM ScriptedServer ServiceContract Status""",
    "acontext_store.backend": "Backend Durability backend_of installed",
    "acontext_store.open": "database_key database_path database_url open_blobs open_keys open_secret open_store",
    "acontext_store.protocols": "BlobStore BlobWriter InjectionStore KeyStore Pending ReadSnapshot SourceStore Store",
    "acontext_store.testing": "BlobContract StoreContract",
}


def public(module: str) -> list[str]:
    return PUBLIC[module].split()


@pytest.mark.parametrize("module", PUBLIC)
def test_the_names_of_a_module_are_those_that_are_listed(module: str) -> None:
    assert sorted(import_module(module).__all__) == sorted(public(module))


def test_importing_everything_gives_the_listed_names() -> None:
    code = "\n".join(f"from {module} import *" for module in PUBLIC)
    code += "\nprint(*sorted(name for name in globals() if not name.startswith('_')))"
    told = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert told.stdout.split() == sorted({name for module in PUBLIC for name in public(module)})


def sources(module: ModuleType) -> list[str]:
    """The text of a module, or of those in a package."""
    file = Path(str(module.__file__))
    return [one.read_text() for one in (file.parent.glob("*.py") if file.name == "__init__.py" else [file])]


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_says_what_it_is(module: str) -> None:
    home = import_module(module)
    silent = []
    for name in public(module):
        value = getattr(home, name)
        if inspect.isclass(value) or inspect.isroutine(value):
            said = bool(value.__doc__) and not value.__doc__.startswith(f"{name}(")  # as dataclasses and tuples fill it
        else:  # a constant, or the name of a type: a comment above it
            said = any(re.search(rf"^#: .+\n{name}\b", text, re.MULTILINE) for text in sources(home))
        if not said:
            silent.append(name)
    assert silent == []


def test_every_exception_is_among_the_errors() -> None:
    tree = {name for name, one in vars(store_errors).items() if isinstance(one, type) and issubclass(one, Exception)}
    assert tree == set(errors.__all__)
    assert set(acontext_plugins.__all__) & tree


def test_pages_and_examples_import_public_names() -> None:
    texts = {
        str(page): "\n".join(re.findall(r"^```python[^\n]*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))
        for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    }
    texts |= {str(file): file.read_text() for file in (ROOT / "examples").rglob("*.py")}
    hidden = [
        f"{file}: {node.module}.{alias.name}"
        for file, text in texts.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and node.module in PUBLIC
        for alias in node.names
        if alias.name not in public(node.module)
    ]
    assert hidden == []
