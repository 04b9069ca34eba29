"""The OpenAI and Anthropic SDKs through the transports, on servers that speak their protocols."""

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from headless_discovery.integrations.httpx2 import AsyncPeersTransport, PeersTransport

from .callers import PATIENCE
from .servers import Pods, requests_of, serving

pytestmark = pytest.mark.slow

SDKS = ["openai", "openai-async", "anthropic", "anthropic-async"]
Ask = Callable[[str, str], str]
"""From a session and a request's id to the pod that answered."""


def _options(sdk: str, http_client: Any) -> dict[str, Any]:
    base = "http://web/v1" if sdk.startswith("openai") else "http://web"
    return {"base_url": base, "api_key": "k", "max_retries": 0, "http_client": http_client}


def _arguments(session: str, request_id: str) -> dict[str, Any]:
    return {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "extra_headers": {"X-Session": session, "X-Id": request_id},
    }


def _creates(sdk: str, http_client: Any, *, asynchronous: bool) -> Callable[..., Any]:
    """The SDK's function that asks for a generation."""
    kinds: dict[str, tuple[Any, Any]] = {
        "openai": (openai.OpenAI, openai.AsyncOpenAI),
        "anthropic": (anthropic.Anthropic, anthropic.AsyncAnthropic),
    }
    client = kinds[sdk][asynchronous](**_options(sdk, http_client))
    arguments = _arguments("kim", "1")
    if sdk == "openai":
        return functools.partial(client.chat.completions.create, **arguments)
    return functools.partial(client.messages.create, max_tokens=5, **arguments)


def _session(request: httpx2.Request) -> str | None:
    return request.headers.get("X-Session")


def ask_of(sdk: str, pods: Pods) -> tuple[Ask, Callable[[], None]]:
    """A function that asks, and one that ends it."""
    if sdk.endswith("-async"):
        return _async_ask(sdk, pods)
    web = pods.cluster.peers("web", port="http")
    http_client = httpx2.Client(transport=PeersTransport(web, key=_session), timeout=PATIENCE)

    def ask(session: str, request_id: str) -> str:
        arguments = _arguments(session, request_id)
        if sdk == "openai":
            completion = openai.OpenAI(**_options(sdk, http_client)).chat.completions.create(
                **arguments
            )
            return str(completion.choices[0].message.content)
        client = anthropic.Anthropic(**_options(sdk, http_client))
        message: Any = client.messages.create(max_tokens=5, **arguments)
        return str(message.content[0].text)

    return ask, http_client.close


def _async_ask(sdk: str, pods: Pods) -> tuple[Ask, Callable[[], None]]:
    runner = asyncio.Runner()
    web = pods.cluster.aio.peers("web", port="http")
    http_client = httpx2.AsyncClient(
        transport=AsyncPeersTransport(web, key=_session), timeout=PATIENCE
    )

    async def asked(session: str, request_id: str) -> str:
        arguments = _arguments(session, request_id)
        if sdk == "openai-async":
            client = openai.AsyncOpenAI(**_options(sdk, http_client))
            completion = await client.chat.completions.create(**arguments)
            return str(completion.choices[0].message.content)
        other = anthropic.AsyncAnthropic(**_options(sdk, http_client))
        message: Any = await other.messages.create(max_tokens=5, **arguments)
        return str(message.content[0].text)

    def end() -> None:
        runner.run(http_client.aclose())
        runner.close()

    return lambda session, request_id: runner.run(asked(session, request_id)), end


@pytest.mark.parametrize("sdk", SDKS)
def test_a_session_stays_on_its_pod_and_another_pod_takes_over_when_it_refuses(sdk: str) -> None:
    with serving(3) as pods:
        ask, end = ask_of(sdk, pods)
        homes = {ask("kim", str(number)) for number in range(5)}
        assert len(homes) == 1
        home = next(pod for pod in pods.pods if pod.address in homes)
        home.stop()
        assert ask("kim", "after") != home.address
        end()


@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_a_streamed_generation_is_in_flight_until_it_is_closed(sdk: str) -> None:
    with serving(2) as pods:
        web = pods.cluster.peers("web", port="http", strategy="least-loaded")
        with httpx2.Client(transport=PeersTransport(web), timeout=PATIENCE) as http_client:
            create = _creates(sdk, http_client, asynchronous=False)
            with create(stream=True) as stream:
                next(iter(stream))
                [busy] = web.in_flight
                with create(stream=True) as other:
                    next(iter(other))
                    assert set(web.in_flight.values()) == {1}, "each on a pod of its own"
                assert list(web.in_flight) == [busy]
            assert not web.in_flight


@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_so_it_is_in_asyncio(sdk: str) -> None:
    async def main(pods: Pods) -> None:
        web = pods.cluster.aio.peers("web", port="http")
        async with httpx2.AsyncClient(
            transport=AsyncPeersTransport(web), timeout=PATIENCE
        ) as client:
            create = _creates(sdk, client, asynchronous=True)
            async with await create(stream=True) as stream:
                await anext(aiter(stream))
                assert list(web.in_flight.values()) == [1]
            assert not web.in_flight

    with serving(2) as pods:
        asyncio.run(main(pods))


@pytest.mark.parametrize("sdk", SDKS)
def test_a_generation_is_asked_for_once_whatever_happens_to_its_reply(sdk: str) -> None:
    with serving(3) as pods:
        ask, end = ask_of(sdk, pods)
        for pod in pods.pods:
            pod.fault = "reset"
        with pytest.raises((openai.APIConnectionError, anthropic.APIConnectionError)):
            ask("kim", "once")
        assert pods.arrived("once") == 1
        assert sum(requests_of(pods)) == 1
        end()
