"""Traces calls with OpenTelemetry: each span nests under the caller's, and each log record names its thread."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Generator

from parallel import parallel

log = logging.getLogger("shop")
tracer: Any = None


@contextmanager
def connection(host: str) -> Generator[str, None, None]:
    """Connects to a host; the span lasts until the connection is closed."""
    with tracer.start_as_current_span(f"connection to {host}"):
        yield host


def load_user(number: int) -> str:
    """Loads a user, for which it looks into two places."""
    with tracer.start_as_current_span("load_user"):
        log.info("loading user %s", number)
        name, mail = parallel(read)("name").parallel(read)("mail").results()
        return f"{name} <{mail}>"


def read(field: str) -> str:
    """Reads a field."""
    with tracer.start_as_current_span(f"read {field}"):
        log.info("reading %s", field)
        time.sleep(0.01)
        return {"name": "Ada", "mail": "ada@example.com"}[field]


def fetch_price(article: str) -> int:
    """Fetches the price of an article."""
    with tracer.start_as_current_span("fetch_price") as span:
        log.info("fetching the price of %s", article)
        span.set_attribute("article", article)
        return 7


def answer() -> str:
    """Does what is to be traced."""
    with tracer.start_as_current_span("answer"), parallel(connection("one")).parallel(connection("two")):
        user, price = parallel(load_user)(1).parallel(fetch_price)("tea").results()
        return f"{user} pays {price}"


def print_tree(spans: list[Any], parent: int | None = None, depth: int = 0) -> None:
    """Prints the spans below their parents, in the order of their names."""
    for span in sorted(spans, key=lambda span: span.name):
        if (span.parent.span_id if span.parent else None) == parent:
            print("  " * depth + span.name)
            print_tree(spans, span.context.span_id, depth + 1)


def main() -> None:
    """Prints the answer and the tree of the spans; logs to the standard error stream."""
    global tracer  # noqa: PLW0603  # As programs do that set tracing up once.
    argparse.ArgumentParser(description=__doc__).parse_args()
    if not find_spec("opentelemetry"):
        sys.exit("This needs OpenTelemetry: uv run --group integrations python examples/tracing.py")
    from opentelemetry import trace  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415  # See above.
    from opentelemetry.sdk.trace import TracerProvider  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415  # As above.
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415  # As above.
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415  # As above.

    logging.basicConfig(level=logging.INFO, format="%(threadName)s: %(message)s")
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    tracer = trace.get_tracer("shop")
    print(answer())
    print_tree(list(spans.get_finished_spans()))


if __name__ == "__main__":
    main()
