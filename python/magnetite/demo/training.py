"""How the demo trains the built-in encoder on SciFact; docs/builtin.md says what it gives."""

from dataclasses import dataclass

from magnetite.learn import Settings
from magnetite.learn.recipes.pairs import Config


@dataclass(frozen=True)
class Training:
    """What the recipe is told and what the loop is told."""

    config: Config
    settings: Settings


TITLES = Training(
    Config(temperature=0.05, symmetric=True),
    Settings(epochs=6, batch=512, lr=5e-3, warmup=0.1),
)
CLAIMS = Training(
    Config(temperature=0.05, symmetric=False),
    Settings(epochs=10, batch=128, lr=2e-3, warmup=0.1),
)
