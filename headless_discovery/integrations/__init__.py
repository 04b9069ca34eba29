"""Integrations with other libraries: one module and one extra for each, none imported by the core.

`httpx2` and `httpx` give transports, `aiohttp` a client middleware, `prometheus` a collector, and
`opentelemetry` observable instruments.
"""
