from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from genai_prices import Usage, calc_price
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trimtab_tracer.ingest_rows import Terms, Tokens, micro_usd
from trimtab_tracer.prices import PriceList, Rates
from trimtab_tracer.setting_values import PriceOverride

NOW_NS = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()) * 10**9
PRICES = PriceList()


def cost(
    model: str, tokens: Tokens | None, host: str = "127.0.0.1:8080", api: str = "openai.chat", path: str = "/v1"
) -> int:
    """Micro-USD of one attempt; the model must have a price."""
    musd = PRICES.cost(api, host, path, (model,), NOW_NS, tokens).musd
    assert musd is not None
    return musd


def test_openai_cached_tokens() -> None:
    """OpenAI: cached input is part of the input and has a price of its own (gpt-4o: 2.50, cached 1.25, output 10)."""
    # 1,000 input of which 400 cached, 200 output: 600 x 2.50 + 400 x 1.25 + 200 x 10 = 1,500 + 500 + 2,000
    assert cost("gpt-4o", Tokens(1_000, 400, 0, 200, 50), "api.openai.com", path="/v1/chat/completions") == 4_000


def test_anthropic_cached_tokens() -> None:
    """Anthropic: reading the cache costs a tenth, writing it a quarter more (claude-sonnet-4: 3, .30, 3.75, 15)."""
    # 10,000 input of which 6,000 read and 3,000 written, 500 output:
    # 1,000 x 3 + 6,000 x .30 + 3,000 x 3.75 + 500 x 15 = 3,000 + 1,800 + 11,250 + 7,500
    tokens = Tokens(10_000, 6_000, 3_000, 500, 0)
    assert cost("claude-sonnet-4-20250514", tokens, "api.anthropic.com", "anthropic.messages", "/v1/messages") == 23_550


def test_gemini_cached_tokens_and_tiers() -> None:
    """Gemini: thoughts are output, and above 200,000 input tokens all tokens cost more (gemini-2.5-pro)."""
    google = ("generativelanguage.googleapis.com", "gemini", "/v1beta/models/gemini-2.5-pro:generateContent")
    # 100,000 input of which 40,000 cached, 1,000 output: 60,000 x 1.25 + 40,000 x .125 + 1,000 x 10
    assert cost("gemini-2.5-pro", Tokens(100_000, 40_000, 0, 1_000, 600), *google) == 90_000
    # 300,000 input, 1,000 output: 300,000 x 2.50 + 1,000 x 15
    assert cost("gemini-2.5-pro", Tokens(300_000, 0, 0, 1_000, 0), *google) == 765_000


def test_half_micro_usd_go_to_the_even_neighbour() -> None:
    """A cost that ends in half a micro-USD is rounded to the even one."""
    assert [Rates(Decimal("0.5"), Decimal(0)).musd(Tokens(n, 0, 0, 0, 0)) for n in (3, 5, 7)] == [2, 2, 4]


@pytest.mark.parametrize(
    ("model", "api", "provider"),
    [
        ("gpt-4o-mini", "openai.chat", "openai"),
        ("claude-opus-4-1", "openai.chat", "anthropic"),
        ("anthropic/claude-sonnet-4", "openai.chat", "anthropic"),
        ("text-embedding-3-small", "openai.embeddings", "openai"),
    ],
)
def test_loopback_goes_by_the_name(model: str, api: str, provider: str) -> None:
    """Behind a local proxy or gateway the model's name alone says the provider and the price."""
    found = PRICES.cost(api, "127.0.0.1:4321", "/v1/x", (None, model), NOW_NS, Tokens(1_000_000, 0, 0, 0, 0))
    assert provider == found.provider
    assert found.musd is not None
    assert found.musd > 0
    assert (found.version or "").startswith("genai-prices ")


@pytest.mark.parametrize(
    ("model", "host", "api", "provider"),
    [
        ("scripted-model", "localhost:1", "openai.chat", "localhost:1"),
        ("no-such-model", "api.openai.com", "openai.chat", "openai"),
        ("deepseek-chat", "localhost:11434", "ollama", "ollama"),
        (None, "localhost:1", "openai.chat", "localhost:1"),
    ],
)
def test_an_unknown_price_is_no_guess(model: str | None, host: str, api: str, provider: str) -> None:
    """A model without a known price has no cost; a local model is not priced like the hosted one of its name."""
    assert (provider, None, None) == PRICES.cost(api, host, "/", (model,), NOW_NS, Tokens(1, 0, 0, 1, 0))


def test_unknown_tokens_still_have_a_provider() -> None:
    """Without tokens there is no cost, but the provider is known."""
    assert PRICES.cost("openai.chat", "api.openai.com", "/v1", ("gpt-4o",), NOW_NS, None) == ("openai", None, None)


def test_the_response_names_the_model_better() -> None:
    """The response's model comes first; the requested one is used where the list does not know it."""
    tokens = Tokens(1_000_000, 0, 0, 0, 0)
    cheap = PRICES.cost("openai.chat", "h", "/", ("gpt-4o-mini-2024-07-18", "gpt-4o"), NOW_NS, tokens)
    known = PRICES.cost("openai.chat", "h", "/", ("ft-of-mine", "gpt-4o"), NOW_NS, tokens)
    assert (cheap.musd, known.musd) == (150_000, 2_500_000)


def test_own_prices_win() -> None:
    """A user's own entry goes before the list, and says so; what it leaves out costs like other input."""
    prices = PriceList([PriceOverride("My-Model", input=1.5, output=3, cache_read=0.1)])
    found = prices.cost("openai.chat", "localhost:1", "/", ("my-model",), NOW_NS, Tokens(1_000, 400, 100, 10, 0))
    assert found.musd == 600 * 3 // 2 + 40 + 30
    assert found.version == "settings"


def test_prices_follow_the_calendar_and_the_tier() -> None:
    """The price of the day counts, and a flex request is cheaper where the list says so."""
    tokens = Tokens(1_000_000, 0, 0, 0, 0)
    normal, flex = (
        PRICES.cost("openai.chat", "h", "/", ("o3",), NOW_NS, tokens, Terms(tier)).musd for tier in (None, "flex")
    )
    early = int(datetime(2025, 5, 1, tzinfo=UTC).timestamp()) * 10**9
    before = PRICES.cost("openai.chat", "h", "/", ("o3",), early, tokens).musd
    assert (normal, flex, before) == (2_000_000, 1_000_000, 10_000_000)


MODELS = ("gpt-4o", "gpt-5.1", "o3-mini", "claude-sonnet-4-5", "claude-opus-4-1", "gemini-2.5-flash", "gemini-2.5-pro")
COUNT = st.integers(0, 400_000)


@given(st.sampled_from(MODELS), COUNT, COUNT, COUNT, COUNT)
@settings(max_examples=150)
def test_our_sum_is_the_librarys(model: str, fresh: int, read: int, write: int, output: int) -> None:
    """Multiplying rates gives exactly what genai-prices computes, for every mix of tokens."""
    whole = fresh + read + write
    usage = Usage(input_tokens=whole, cache_read_tokens=read, cache_write_tokens=write, output_tokens=output)
    then = datetime.fromtimestamp(NOW_NS / 1e9, tz=UTC)
    theirs = calc_price(usage, model, genai_request_timestamp=then).total_price * 1_000_000
    ours = cost(model, Tokens(whole, read, write, output, 0))
    assert int(theirs.to_integral_value(ROUND_HALF_EVEN)) == ours


SPECIAL = Rates(
    **{name: Decimal(rate) for name, rate in zip(("input", "output", "cache_read"), (4, 16, 1), strict=True)},
    **{name: Decimal(rate) for name, rate in zip(("cache_write", "cache_write_1h"), (5, 8), strict=True)},
    **{name: Decimal(rate) for name, rate in zip(("input_audio", "cache_audio_read"), (32, 2), strict=True)},
    **{name: Decimal(rate) for name, rate in zip(("output_audio", "output_image"), (64, 90), strict=True)},
)
ANY = st.builds(Tokens, *[COUNT] * 11)


@given(ANY)
def test_every_token_has_one_price(tokens: Tokens) -> None:
    """Whatever the provider counts, also nonsense: the parts are not negative and sum to input and output exactly."""
    counts = [count for count, _ in SPECIAL.parts(tokens)]
    assert min(counts) >= 0
    assert tokens.input == sum(counts[:6])
    assert tokens.output == sum(counts[6:])


@given(ANY, st.sampled_from(["input", "output", "web_searches"]), st.integers(1, 1_000))
def test_more_never_costs_less(tokens: Tokens, name: str, more: int) -> None:
    """One more token or search, everything else alike, does not make a request cheaper."""
    rates = replace(SPECIAL, web_search=Decimal(10))
    assert rates.musd(tokens) <= rates.musd(tokens._replace(**{name: getattr(tokens, name) + more}))


def test_cached_audio_that_no_one_counts_is_as_little_as_can_be() -> None:
    """OpenAI says how much was cached and how much was audio, not both: text comes first into the cache."""
    within = SPECIAL.parts(Tokens(1_000, 600, 0, 0, 0, input_audio=300))
    beyond = SPECIAL.parts(Tokens(1_000, 600, 0, 0, 0, input_audio=500))
    assert [100, 300, 600, 0] == [count for count, _ in within[:4]]
    assert [0, 400, 500, 100] == [count for count, _ in beyond[:4]]


def test_an_hour_of_cache_costs_twice_the_input_where_the_list_leaves_it_out() -> None:
    """Bedrock's older Claude entries have a price for five minutes only."""
    host = "bedrock-runtime.us-east-1.amazonaws.com"
    model = "us.anthropic.claude-opus-4-1-20250805-v1:0"
    tokens = Tokens(1_000, 0, 1_000, 0, 0, cache_write_1h=1_000)
    found = PRICES.cost("anthropic.messages", host, f"/model/{model}/invoke", (model,), NOW_NS, tokens)
    assert ("aws", 30_000) == (found.provider, found.musd)  # 15 for input, 18.75 for five minutes, 30 for an hour


@given(st.decimals(0, 999_999, places=9))
def test_reported_prices_are_rounded_once(usd: Decimal) -> None:
    """A provider's decimal price becomes the nearest integer of micro-USD."""
    assume(usd.is_finite())
    exact = micro_usd(str(usd))
    assert exact is not None
    assert abs(exact - usd * 1_000_000) <= Decimal("0.5")


@pytest.mark.parametrize("usd", [None, "", "free", "NaN", "-1", "1e9", "Infinity"])
def test_an_odd_reported_price_is_none(usd: str | None) -> None:
    """What is no sensible amount of money is not taken for one."""
    assert micro_usd(usd) is None


@pytest.mark.parametrize(
    ("host", "path", "model", "provider", "musd"),
    [
        ("openrouter.ai", "/api/v1", "openai/gpt-5", "openrouter", 11_250_000),
        ("api.groq.com", "/openai/v1", "openai/gpt-oss-120b", "groq", 750_000),
        ("api.together.xyz", "/v1", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "together", 1_760_000),
        ("api.together.ai", "/v1", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "together", 1_760_000),
        (
            "api.fireworks.ai",
            "/inference/v1",
            "accounts/fireworks/models/gpt-oss-120b",
            "fireworks",
            750_000,
        ),
        ("api.deepseek.com", "", "deepseek-chat", "deepseek", 1_370_000),
        ("api.x.ai", "/v1", "grok-4", "x-ai", 18_000_000),
        ("mine.openai.azure.com", "/openai/deployments/d", "gpt-4o-2024-08-06", "azure", 12_500_000),
        ("us-east5-aiplatform.googleapis.com", "/v1/p", "claude-sonnet-4-5@20250929", "google", 28_500_000),
        (
            "aiplatform.googleapis.com",
            "/v1/endpoints/openapi",
            "google/gemini-2.5-flash",
            "google",
            2_800_000,
        ),
        (
            "bedrock-runtime.us-west-2.amazonaws.com",
            "/openai/v1",
            "openai.gpt-oss-120b-1:0",
            "aws",
            750_000,
        ),
        ("api.mistral.ai", "/v1", "mistral-small-2506", "mistral", 400_000),
        ("api.cerebras.ai", "/v1", "gpt-oss-120b", "cerebras", 1_100_000),
        ("router.huggingface.co", "/v1", "openai/gpt-oss-120b:groq", "huggingface_groq", 900_000),
        ("router.huggingface.co", "/v1", "openai/gpt-oss-120b", "huggingface", None),
        ("bedrock-mantle.us-east-1.api.aws", "/v1", "no-such-model", "aws", None),
        ("llm.example", "/v1", "no-such-model", "llm.example", None),
    ],
)
def test_hosts_that_speak_openais_format(host: str, path: str, model: str, provider: str, musd: int | None) -> None:
    """The address says the provider, and the name, as that host spells it, its price: a million tokens in and out."""
    found = PRICES.cost(
        "openai.chat", host, f"{path}/chat/completions", (model,), NOW_NS, Tokens(1_000_000, 0, 0, 1_000_000, 0)
    )
    assert (provider, musd) == (found.provider, found.musd)


def test_a_deployment_is_priced_by_the_model_in_its_answer() -> None:
    """Azure's deployments have names of their own; the response names the model, and a user's price may name either."""
    where = ("openai.chat", "mine.openai.azure.com", "/openai/deployments/chat-prod/chat/completions")
    tokens = Tokens(1_000_000, 0, 0, 0, 0)
    answered = PRICES.cost(*where, ("gpt-4o-2024-08-06", "chat-prod"), NOW_NS, tokens)
    failed = PRICES.cost(*where, (None, "chat-prod"), NOW_NS, tokens)
    own = PriceList([PriceOverride("chat-prod", input=1, output=1)])
    assert (2_500_000, None) == (answered.musd, failed.musd)
    assert 1_000_000 == own.cost(*where, ("gpt-4o-2024-08-06", "chat-prod"), NOW_NS, tokens).musd
