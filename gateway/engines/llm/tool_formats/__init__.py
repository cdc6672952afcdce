"""The ways in which families of models write tool calls, by name, and which of them a chat template is written for."""

from __future__ import annotations

from gateway.engines.llm.tool_formats.base import ToolFormat
from gateway.engines.llm.tool_formats.deepseek import DeepSeek
from gateway.engines.llm.tool_formats.gemma import Gemma
from gateway.engines.llm.tool_formats.glm import Glm
from gateway.engines.llm.tool_formats.granite import Granite
from gateway.engines.llm.tool_formats.hermes import Hermes
from gateway.engines.llm.tool_formats.kimi import Kimi
from gateway.engines.llm.tool_formats.llama import Llama
from gateway.engines.llm.tool_formats.mistral import Mistral
from gateway.engines.llm.tool_formats.pythonic import Pythonic
from gateway.engines.llm.tool_formats.qwen_coder import QwenCoder

FORMATS: dict[str, ToolFormat] = {
    "hermes": Hermes(),
    "nemotron": Hermes("TOOLCALL", listed=True),
    "qwen-coder": QwenCoder(),
    "glm": Glm(lines=True),
    "glm-compact": Glm(lines=False),
    "mistral": Mistral(tagged=False),
    "mistral-tagged": Mistral(tagged=True),
    "deepseek": DeepSeek(fenced=True),
    "deepseek-bare": DeepSeek(fenced=False),
    "kimi": Kimi(),
    "gemma": Gemma(),
    "granite": Granite(),
    "pythonic": Pythonic(),
    "llama": Llama(),
}
# What the source of a family's template contains, all of it, the more particular first.
_SIGNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("gemma", ("<|tool_call>call:",)),
    ("kimi", ("<|tool_call_argument_begin|>",)),
    ("deepseek", ("<｜tool▁sep｜>", "```json")),
    ("deepseek-bare", ("<｜tool▁sep｜>",)),
    ("mistral-tagged", ("[TOOL_CALLS]", "[ARGS]")),
    ("mistral", ("[TOOL_CALLS]",)),
    ("qwen-coder", ("<tool_call>", "<function=")),
    ("glm", ("<arg_key>{{ k }}</arg_key>\n",)),
    ("glm-compact", ("<arg_key>",)),
    ("granite", ("<|tool_call|>",)),
    ("nemotron", ("<TOOLCALL>",)),
    ("hermes", ("<tool_call>",)),
    ("pythonic", ("[func_name1(",)),
    ("llama", ('{"name": function name, "parameters"',)),
)


def find_format(template: str) -> str | None:
    """The name of the format that a template's source shows the model to write calls in."""
    return next((name for name, signs in _SIGNS if all(sign in template for sign in signs)), None)
