"""The model cards that the simulated exo knows: one line a family, spread over its quantizations."""

from dataclasses import dataclass
from functools import lru_cache

from exo_graphql.simulator.cards import Card

# Suffix of the repository, exo's label, bits a weight (group-wise scales included).
_QUANTIZATIONS: dict[str, tuple[str, str, float]] = {
    "3bit": ("-3bit", "3bit", 3.5),
    "4bit": ("-4bit", "4bit", 4.5),
    "5bit": ("-5bit", "5bit", 5.5),
    "6bit": ("-6bit", "6bit", 6.5),
    "8bit": ("-8bit", "8bit", 8.5),
    "bf16": ("-bf16", "bf16", 16.0),
    "mxfp4": ("-MXFP4-Q8", "MXFP4-Q8", 4.36),
    "plain-bf16": ("", "bf16", 16.0),
    "plain-int4": ("", "", 5.16),
}

_TEXT = ("text",)
_CODE = ("text", "code")
_THINKING = ("text", "thinking", "thinking_toggle")
_SEEING = ("text", "thinking", "thinking_toggle", "vision")


@dataclass(frozen=True, slots=True)
class _Line:
    base_model: str
    stem: str
    family: str
    billions: float
    layers: int
    hidden: int
    kv_heads: int | None
    context: int
    quantizations: str
    capabilities: tuple[str, ...] = _TEXT
    dialect: str = "none"
    tensor: bool = True

    def cards(self) -> list[Card]:
        made = []
        for name in self.quantizations.split():
            suffix, label, bits = _QUANTIZATIONS[name]
            made.append(
                Card(
                    model_id=f"mlx-community/{self.stem}{suffix}",
                    storage_bytes=round(self.billions * 1e9 * bits / 8),
                    layers=self.layers,
                    hidden_size=self.hidden,
                    kv_heads=self.kv_heads,
                    supports_tensor=self.tensor,
                    family=self.family,
                    quantization=label,
                    base_model=self.base_model,
                    capabilities=self.capabilities,
                    reasoning_dialect=self.dialect,
                    context_length=self.context,
                )
            )
        return made


_ALL = "4bit 5bit 6bit 8bit bf16"
_LAST = "post_last_user"
_TOOLS = "tool_conditional"
_LINES = (
    _Line("Llama 3.2 1B", "Llama-3.2-1B-Instruct", "llama", 1.236, 16, 2048, 8, 131072, "4bit 8bit bf16"),
    _Line("Llama 3.2 3B", "Llama-3.2-3B-Instruct", "llama", 3.213, 28, 3072, 8, 131072, "4bit 8bit bf16"),
    _Line("Llama 3.1 8B", "Meta-Llama-3.1-8B-Instruct", "llama", 8.03, 32, 4096, 8, 131072, "4bit 8bit bf16"),
    _Line("Llama 3.1 70B", "Meta-Llama-3.1-70B-Instruct", "llama", 70.55, 80, 8192, 8, 131072, "4bit 8bit"),
    _Line("Llama 3.3 70B", "Llama-3.3-70B-Instruct", "llama", 70.55, 80, 8192, 8, 131072, _ALL),
    _Line("Qwen3 0.6B", "Qwen3-0.6B", "qwen", 0.596, 28, 1024, 8, 32768, "4bit 8bit", _THINKING, tensor=False),
    _Line("Qwen3 4B", "Qwen3-4B", "qwen", 4.02, 36, 2560, 8, 32768, _ALL, _THINKING),
    _Line("Qwen3 8B", "Qwen3-8B", "qwen", 8.19, 36, 4096, 8, 32768, _ALL, _THINKING),
    _Line("Qwen3 14B", "Qwen3-14B", "qwen", 14.77, 40, 5120, 8, 32768, _ALL, _THINKING),
    _Line("Qwen3 32B", "Qwen3-32B", "qwen", 32.76, 64, 5120, 8, 32768, _ALL, _THINKING),
    _Line("Qwen3 30B", "Qwen3-30B-A3B", "qwen", 30.53, 48, 2048, 4, 32768, _ALL, _THINKING),
    _Line("Qwen3 235B", "Qwen3-235B-A22B-Instruct-2507", "qwen", 235.1, 94, 4096, 4, 262144, "4bit 8bit", _THINKING),
    _Line(
        "Qwen3 Coder 480B",
        "Qwen3-Coder-480B-A35B-Instruct",
        "qwen",
        480.2,
        62,
        6144,
        8,
        262144,
        "4bit 8bit",
        _CODE,
    ),
    _Line("Qwen3 Coder Next", "Qwen3-Coder-Next", "qwen", 79.7, 48, 2048, 2, 262144, _ALL, _CODE),
    _Line("Qwen3.5 9B", "Qwen3.5-9B", "qwen", 9.65, 32, 4096, 4, 262144, "4bit 8bit", _SEEING, _LAST),
    _Line("Qwen3.5 27B", "Qwen3.5-27B", "qwen", 27.4, 64, 5120, 4, 262144, "4bit 8bit bf16", _SEEING, _LAST),
    _Line("Qwen3.5 35B A3B", "Qwen3.5-35B-A3B", "qwen", 35.1, 40, 2048, 2, 262144, _ALL, _SEEING, _LAST),
    _Line("Qwen3.5 122B A10B", "Qwen3.5-122B-A10B", "qwen", 122.6, 48, 3072, 2, 262144, _ALL, _SEEING, _LAST),
    _Line(
        "Qwen3.5 397B A17B",
        "Qwen3.5-397B-A17B",
        "qwen",
        396.3,
        60,
        4096,
        2,
        262144,
        "4bit 6bit 8bit",
        _SEEING,
        _LAST,
    ),
    _Line("GLM 4.5 Air", "GLM-4.5-Air", "glm", 106.9, 46, 4096, 8, 131072, "4bit 8bit bf16", _THINKING, _LAST),
    _Line("GLM 4.7", "GLM-4.7", "glm", 352.8, 91, 5120, 8, 202752, "4bit 6bit 8bit", _THINKING, _LAST),
    _Line("GLM 4.7 Flash", "GLM-4.7-Flash", "glm", 31.2, 47, 2048, 20, 202752, _ALL, _THINKING, _LAST),
    _Line(
        "GLM-5",
        "GLM-5",
        "glm",
        743.9,
        78,
        6144,
        64,
        202752,
        "mxfp4 8bit plain-bf16",
        ("text", "thinking"),
        _LAST,
    ),
    _Line("DeepSeek V3.1", "DeepSeek-V3.1", "deepseek", 671.0, 61, 7168, 128, 131072, "4bit 8bit", _THINKING, _LAST),
    _Line("DeepSeek V3.2", "DeepSeek-V3.2", "deepseek", 671.9, 61, 7168, 128, 131072, "4bit 8bit", _THINKING, _TOOLS),
    _Line("Kimi K2", "Kimi-K2-Instruct", "kimi", 1026.4, 61, 7168, 64, 131072, "4bit"),
    _Line("Kimi K2.5", "Kimi-K2.5", "kimi", 1026.9, 61, 7168, 64, 262144, "plain-int4", _SEEING, "suffix"),
    _Line("MiniMax M2.5", "MiniMax-M2.5", "minimax", 228.7, 62, 3072, 8, 196608, _ALL, _THINKING, _LAST),
    _Line("Gemma 4 E2B", "gemma-4-e2b-it", "gemma", 5.12, 35, 1536, 1, 131072, _ALL, ("text", "vision")),
    _Line("Gemma 4 E4B", "gemma-4-e4b-it", "gemma", 8.0, 42, 2560, 2, 131072, _ALL, ("text", "vision")),
    _Line(
        "Gemma 4 26B A4B",
        "gemma-4-26b-a4b-it",
        "gemma",
        25.8,
        30,
        2816,
        8,
        262144,
        _ALL,
        ("text", "vision"),
        tensor=False,
    ),
    _Line("Gemma 4 31B", "gemma-4-31b-it", "gemma", 31.3, 60, 5376, 16, 262144, _ALL, ("text", "vision")),
    _Line("GPT-OSS 20B", "gpt-oss-20b", "gpt-oss", 20.9, 24, 2880, 8, 131072, "mxfp4", _THINKING, "channel"),
    _Line("GPT-OSS 120B", "gpt-oss-120b", "gpt-oss", 116.8, 36, 2880, 8, 131072, "mxfp4", _THINKING, "channel"),
    _Line("Step 3.5 Flash", "Step-3.5-Flash", "step", 196.9, 45, 4096, 8, 262144, "4bit 6bit 8bit", _THINKING),
)


@lru_cache(maxsize=1)
def all_cards() -> tuple[Card, ...]:
    """Every card of the catalogue, more than 100 of them."""
    return tuple(card for line in _LINES for card in line.cards())


def card_named(model_id: str) -> Card:
    """The card with exactly this id; KeyError when the catalogue has none."""
    return {card.model_id: card for card in all_cards()}[model_id]
