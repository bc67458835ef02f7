"""Random numbers for transforms: from a CPU generator, the same to the bit on every machine.

`generator=None` is torch's default generator, which a DataLoader seeds for each of its workers.
Numbers are scaled as Python floats: a vectorised `a + b * u` may be fused and round differently.
"""

from __future__ import annotations

import torch


def uniforms(count: int, low: float, high: float, generator: torch.Generator | None) -> list[float]:
    """Draw `count` numbers from [low, high)."""
    units = torch.rand(count, dtype=torch.float64, device="cpu", generator=generator).tolist()
    return [low + (high - low) * unit for unit in units]


def uniform(low: float, high: float, generator: torch.Generator | None) -> float:
    """Draw one number from [low, high)."""
    return uniforms(1, low, high, generator)[0]


def integer(low: int, high: int, generator: torch.Generator | None) -> int:
    """Draw one integer from low..high, both included."""
    return int(torch.randint(low, high + 1, (), device="cpu", generator=generator))


def chance(probability: float, generator: torch.Generator | None) -> bool:
    """Draw True with this probability."""
    return uniform(0.0, 1.0, generator) < probability
