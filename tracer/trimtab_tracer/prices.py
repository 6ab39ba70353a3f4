"""What an attempt's tokens cost, from the price list of genai-prices and the user's own entries.

In: wire format, host, path, model names, time and token counts of one attempt. Out: the provider, and the cost in
integer micro-USD (half-even), or None where the model has no known price: a guess would be worse than a gap.

Which list entry applies is looked up once for each host and model; the multiplication is ours because the
library's takes 65 us per attempt and this one about 3. They are the same sum, and a test holds them together. The
module is apart from :mod:`.ingest` so that costs can be computed anew when prices change. It relies on
genai-prices' bundled list (no network); a model newer than the list is simply unknown until an update, and its
tokens are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import genai_prices
from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import ModelInfo, Provider, TieredPrices

from .ingest_rows import Terms, Tokens
from .setting_values import PriceOverride

Rate: TypeAlias = Decimal | TieredPrices
"""USD per million tokens (numerically micro-USD per token), or that by the size of the input."""

OWN_PRICES = "settings"
"""Price version of what the user's own entries gave."""

_HOMES = {
    "openai.chat": "openai",
    "openai.responses": "openai",
    "openai.embeddings": "openai",
    "anthropic.messages": "anthropic",
    "gemini": "google",
}
"""Whose models a wire format was made for: where a name is looked up if neither host nor name tell the provider."""


_HOSTS = (
    (re.compile(r"api\.together\.ai"), "together"),
    (re.compile(r"bedrock-mantle\.[a-z0-9-]+\.api\.aws"), "aws"),
)
"""Addresses of providers that the list knows by another one only."""

_ROUTER = "router.huggingface.co"
"""Hugging Face's router names the provider behind the model, ``openai/gpt-oss-120b:groq``; without it, who knows."""

US_ONLY = Decimal("1.1")
"""What Anthropic charges for inference in the USA only, times all of its token prices (its page "Data residency");
models that can't be held there don't say ``us``. The list does not have it."""


class Cost(NamedTuple):
    """What an attempt cost by the price list."""

    provider: str
    """The price list's id of the provider; the host where it is unknown."""
    musd: int | None
    """Micro-USD; None where no price is known."""
    version: str | None
    """Which list gave the price; None where none did."""


@dataclass(frozen=True, slots=True)
class Rates:
    """The prices in force for one model. A rate that is None falls back on the one its docstring names."""

    input: Rate
    output: Rate
    cache_read: Rate | None = None
    """Else like other input."""
    cache_write: Rate | None = None
    """Else like other input."""
    reasoning: Rate | None = None
    """Else like other output."""
    request: Rate = Decimal(0)
    """USD per thousand requests."""
    version: str = f"genai-prices {genai_prices.__version__}"
    cache_write_1h: Rate | None = None
    """Else like other cache writes."""
    input_audio: Rate | None = None
    """Else like other input."""
    cache_audio_read: Rate | None = None
    """Else like what else is read from the cache."""
    output_audio: Rate | None = None
    """Else like other output."""
    output_image: Rate | None = None
    """Else like other output."""
    web_search: Rate = Decimal(0)
    """USD per thousand searches."""
    factor: Decimal = Decimal(1)
    """Surcharge on all tokens."""

    def musd(self, tokens: Tokens) -> int:
        """Cost of one request in micro-USD, half-even.

        Tiers go by all input tokens of the request, cached ones included, and apply to every token of it.
        """
        given = tokens.input
        total = sum((count * _at(rate, given) for count, rate in self.parts(tokens) if count), Decimal(0)) * self.factor
        total += 1000 * _at(self.request, given) + 1000 * tokens.web_searches * _at(self.web_search, given)
        return int(total.to_integral_value(ROUND_HALF_EVEN))

    def parts(self, tokens: Tokens) -> tuple[tuple[int, Rate], ...]:
        """The tokens split by price: the parts sum to input plus output, whatever the provider's counts say.

        Where a count says more than what is left of the whole, it is cut to that. Where no one says how much of the
        cached input was audio, text comes first, for the agent's instructions and tools open every request.
        """
        read = min(tokens.cache_read, tokens.input)
        write = min(tokens.cache_write, tokens.input - read)
        hour = min(tokens.cache_write_1h, write)
        audio = min(tokens.input_audio, tokens.input)
        heard = max(min(tokens.cache_audio_read, read, audio), audio - (tokens.input - read - write))
        heard = min(heard, read)
        fresh_audio = min(audio - heard, tokens.input - read - write)
        thought = min(tokens.reasoning, tokens.output)
        spoken = min(tokens.output_audio, tokens.output - thought)
        drawn = min(tokens.output_image, tokens.output - thought - spoken)
        cached = _or(self.cache_read, self.input)
        written = _or(self.cache_write, self.input)
        return (
            (tokens.input - read - write - fresh_audio, self.input),
            (fresh_audio, _or(self.input_audio, self.input)),
            (read - heard, cached),
            (heard, _or(self.cache_audio_read, cached)),
            (write - hour, written),
            (hour, _or(self.cache_write_1h, written)),
            (tokens.output - thought - spoken - drawn, self.output),
            (thought, _or(self.reasoning, self.output)),
            (spoken, _or(self.output_audio, self.output)),
            (drawn, _or(self.output_image, self.output)),
        )


def _or(rate: Rate | None, otherwise: Rate) -> Rate:
    return otherwise if rate is None else rate


def _at(rate: Rate, input_tokens: int) -> Decimal:
    if isinstance(rate, Decimal):
        return rate
    reached = [tier.price for tier in rate.tiers if input_tokens > tier.start]
    return reached[-1] if reached else rate.base


STANDARD = Terms()
"""Nothing special was asked for or served."""


class PriceList:
    """Prices by provider and model.

    Args:
        overrides: The user's own entries (``[prices."model"]`` in a settings file); they win.
    """

    def __init__(self, overrides: Iterable[PriceOverride] = ()) -> None:
        """Take the bundled list, and ``overrides`` over it."""
        self._own = {o.model.lower(): _own_rates(o) for o in overrides}
        self._find = lru_cache(maxsize=4096)(self._find_uncached)
        self._rates = lru_cache(maxsize=4096)(self._rates_uncached)

    @property
    def identity(self) -> str:
        """Which prices these are: the version of the bundled list, and the user's own entries."""
        return f"genai-prices {genai_prices.__version__} {sorted(self._own.items())}"

    def cost(
        self,
        api: str,
        host: str,
        path: str,
        models: Iterable[str | None],
        ts_ns: int,
        tokens: Tokens | None,
        terms: Terms = STANDARD,
    ) -> Cost:
        """The provider of a request, and what its tokens cost.

        Args:
            api: Wire format, as in :class:`~.records.Attempt`.
            host: Host and port.
            path: URL path.
            models: Names of the model, the most exact first (what the response says, what the request asked for).
            ts_ns: When the request was made; prices change.
            tokens: None where they are not known: then there is a provider but no cost.
            terms: What else the price depends on.
        """
        names = tuple(m.lower() for m in models if m)
        found = self._find(api, host, path, names)
        provider = found.provider.id if found is not None else host
        if tokens is None:
            return Cost(provider, None, None)
        own = next((self._own[name] for name in names if name in self._own), None)
        if own is not None:
            return Cost(provider, own.musd(tokens), own.version)
        rates = self._rates(found, _quarter_hour(ts_ns), terms) if found is not None else None
        return Cost(provider, None, None) if rates is None else Cost(provider, rates.musd(tokens), rates.version)

    def _find_uncached(self, api: str, host: str, path: str, names: tuple[str, ...]) -> _Entry | None:
        """The list entry of a model: by the host where the list knows it, else by the name alone."""
        snapshot = get_snapshot()
        try:
            provider = _provider(snapshot, host, path, names)
        except LookupError:
            if api == "ollama":  # a local model under a well-known name has not the price of the hosted one
                return _Entry(Provider("ollama", "Ollama", ""), None)
            if host == _ROUTER:
                return _Entry(Provider("huggingface", "Hugging Face", ""), None)
            return _by_name(snapshot, api, names)
        spelled = (spelling for name in names for spelling in _spellings(provider.id, name))
        models = (provider.find_model(name, all_providers=snapshot.providers) for name in spelled)
        return _Entry(provider, next((model for model in models if model is not None), None))

    def _rates_uncached(self, entry: _Entry, at: datetime, terms: Terms) -> Rates | None:
        model = entry.model
        if model is None:
            return None
        price = model.get_prices(at, _context(terms) if model in entry.provider.models else None)
        if price.input_mtok is None and price.output_mtok is None:
            return None  # priced by something else than tokens
        write, hour = price.cache_write_mtok, price.cache_write_1h_mtok
        return Rates(
            input=price.input_mtok or Decimal(0),
            output=price.output_mtok or Decimal(0),
            cache_read=price.cache_read_mtok,
            cache_write=write,
            # Only Claude's usage tells them apart, and for all of its models, wherever they run, an hour costs twice
            # the input's rate; the list leaves it out of some entries.
            cache_write_1h=_twice(price.input_mtok) if hour is None and write is not None else hour,
            reasoning=price.output_reasoning_mtok,
            input_audio=price.input_audio_mtok,
            cache_audio_read=price.cache_audio_read_mtok,
            output_audio=price.output_audio_mtok,
            output_image=price.output_image_mtok,
            request=price.requests_kcount or Decimal(0),
            web_search=price.web_searches_kcount or Decimal(0),
            factor=US_ONLY if terms.inference_geo == "us" and entry.provider.id == "anthropic" else Decimal(1),
        )


def _context(terms: Terms) -> dict[str, str]:
    """The terms as the list names them."""
    context = {"service_tier": terms.service_tier, "speed": terms.speed}
    if terms.service_tier == "batch":
        context["processing"] = "batch"
    return {name: value for name, value in context.items() if value is not None}


def _twice(rate: Rate | None) -> Rate | None:
    if rate is None or isinstance(rate, Decimal):
        return None if rate is None else 2 * rate
    return replace(rate, base=2 * rate.base, tiers=[replace(tier, price=2 * tier.price) for tier in rate.tiers])


@dataclass(frozen=True, eq=False)
class _Entry:
    """Provider and model of the list. Compared by identity, so that it can be a cache's key."""

    provider: Provider
    model: ModelInfo | None


def _provider(snapshot: DataSnapshot, host: str, path: str, names: tuple[str, ...]) -> Provider:
    """The provider at an address. Raises LookupError where the list has none there."""
    known = next((provider_id for pattern, provider_id in _HOSTS if pattern.fullmatch(host)), None)
    if known is None and host == _ROUTER:
        known = next((f"huggingface_{name.rpartition(':')[2]}" for name in names if ":" in name), None)
    if known is not None:
        return snapshot.find_provider(None, known, None)
    return snapshot.find_provider(None, None, f"https://{host}{path}")


def _spellings(provider_id: str, name: str) -> Iterator[str]:
    """A model's name as it was sent, and as the list spells it."""
    yield name
    if provider_id == "google" and "/" in name:
        yield name.rpartition("/")[2]  # `google/x` on Vertex' OpenAI-compatible endpoint, `models/x` elsewhere
    elif provider_id.startswith("huggingface_") and ":" in name:
        yield name.rpartition(":")[0]


def _by_name(snapshot: DataSnapshot, api: str, names: tuple[str, ...]) -> _Entry | None:
    """Loopback, a gateway or an unknown host: what the model's name says, also as ``provider/model``."""
    for name in names:
        for provider_id in ("litellm", _HOMES.get(api)):  # to the library, "litellm" means: split the name
            if provider_id is None:
                continue
            try:
                return _Entry(*snapshot.find_provider_model(name, None, provider_id, None))
            except LookupError:
                continue
    return None


def _quarter_hour(ts_ns: int) -> datetime:
    """Beginning of the quarter of an hour: exact enough for prices by date and by time of day, which change at full
    and half hours, and coarse enough to be a cache's key."""
    return datetime.fromtimestamp(ts_ns // 900_000_000_000 * 900, tz=UTC)


def _own_rates(own: PriceOverride) -> Rates:
    def decimal(value: float | None) -> Decimal | None:
        return None if value is None else Decimal(str(value))

    return Rates(
        input=Decimal(str(own.input)),
        output=Decimal(str(own.output)),
        cache_read=decimal(own.cache_read),
        cache_write=decimal(own.cache_write),
        cache_write_1h=decimal(own.cache_write_1h),
        reasoning=decimal(own.reasoning),
        input_audio=decimal(own.input_audio),
        output_audio=decimal(own.output_audio),
        version=OWN_PRICES,
    )
