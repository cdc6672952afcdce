"""What an answer would have cost on Cloudflare, in neurons; knows no task and no request.

A neuron is Cloudflare's unit of account: 1,000 of them cost 0.011 USD. Its price list gives each model's price in USD
per unit of use (https://developers.cloudflare.com/workers-ai/platform/pricing/), which is the catalogue's property
`price`; divided by the price of a neuron it is what the service tells in `cf-ai-neurons` and `usage.neurons`.

Tiles are of 512 by 512 pixels, begun ones count. A megapixel (MP) is 1024 by 1024 pixels, begun ones count too. For
FLUX.1 [schnell] the service was seen to charge three times what its list says; the list counts here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from gateway.properties import Price
from gateway.tasks.amounts import Amounts
from gateway.tasks.image_header import Size

USD_PER_NEURON = 0.000011
TILE_SIDE, MEGAPIXEL = 512, 1024 * 1024
CACHED = "per M cached input tokens"
LIVE = "per audio minute (WebSocket)"

Quantity = Callable[[Amounts], float | None]


def _tiles(size: Size) -> int:
    width, height = size
    return -(-width // TILE_SIDE) * -(-height // TILE_SIDE)


def _megapixels(size: Size) -> int:
    return -(-size[0] * size[1] // MEGAPIXEL)


def _output_tiles(amounts: Amounts) -> float | None:
    return None if amounts.picture is None else _tiles(amounts.picture)


def _input_tiles(amounts: Amounts) -> float:
    return sum(map(_tiles, amounts.references))


def _stepwise(quantity: Quantity) -> Quantity:
    """So much in each step."""

    def product(amounts: Amounts) -> float | None:
        once = quantity(amounts)
        return None if once is None or amounts.steps is None else once * amounts.steps

    return product


def _per(size: float, quantity: Quantity) -> Quantity:
    def share(amounts: Amounts) -> float | None:
        whole = quantity(amounts)
        return None if whole is None else whole / size

    return share


# The units of the price list. What is spoken over a WebSocket may have a price of its own, which answers over HTTP have
# not.
UNITS: dict[str, Quantity] = {
    "per M input tokens": _per(1e6, lambda amounts: amounts.input_tokens),
    CACHED: _per(1e6, lambda amounts: amounts.cached_tokens),
    "per M output tokens": _per(1e6, lambda amounts: amounts.output_tokens),
    "per audio minute": _per(60, lambda amounts: amounts.audio_s),
    LIVE: _per(60, lambda amounts: amounts.live_audio_s or 0.0),
    "per 1k characters": _per(1000, lambda amounts: amounts.characters),
    "per image": lambda amounts: amounts.images,
    "per inference request": lambda _: 1,
    "per step": lambda amounts: amounts.steps,
    "per 512 by 512 tile": _output_tiles,
    "per output 512 by 512 tile": _output_tiles,
    "per input 512 by 512 tile": _input_tiles,
    "per output 512 by 512 tile, per step": _stepwise(_output_tiles),
    "per input 512 by 512 tile, per step": _stepwise(_input_tiles),
    "per first MP": lambda amounts: None if amounts.picture is None else 1,
    "per subsequent MP": lambda amounts: None if amounts.picture is None else _megapixels(amounts.picture) - 1,
    "per input image MP": lambda amounts: sum(map(_megapixels, amounts.references)),
}


class Tariff:
    """The prices of one model. It says nothing rather than too little: every unit must be known, and in USD."""

    def __init__(self, prices: Sequence[Price]) -> None:
        known = all(price.unit in UNITS and price.currency == "USD" for price in prices)
        self._usd = [(UNITS[price.unit], price.price) for price in prices] if known else []
        self._has_cache_price = any(price.unit == CACHED for price in prices)
        self._has_live_price = any(price.unit == LIVE for price in prices)

    @property
    def is_known(self) -> bool:
        """Whether there is a price at all."""
        return bool(self._usd)

    def neurons(self, amounts: Amounts) -> float | None:
        """What so much costs, to a billionth; None if there is no price, or if one is for an amount that is not known.

        Cached tokens cost as much as others where they have no price of their own, and so does live sound.
        """
        if self._has_cache_price and amounts.input_tokens is not None:
            amounts = replace(amounts, input_tokens=amounts.input_tokens - amounts.cached_tokens)
        if amounts.live_audio_s is not None and not self._has_live_price:
            amounts = replace(amounts, audio_s=(amounts.audio_s or 0.0) + amounts.live_audio_s)
        costs = [(quantity(amounts), usd) for quantity, usd in self._usd]
        if not costs or any(quantity is None and usd for quantity, usd in costs):
            return None
        return round(sum((quantity or 0) * usd for quantity, usd in costs) / USD_PER_NEURON, 9)


def neurons_text(neurons: float) -> str:
    """As in the header: a decimal number with two places, and up to six if it needs them."""
    whole, _, places = f"{neurons:.6f}".partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}"
