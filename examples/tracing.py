"""Traces calls with OpenTelemetry: each span nests under the caller's, and each log record names its thread."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Generator

from parallel import parallel

log = logging.getLogger("shop")


def span(name: str) -> Any:
    """Begins a span under the current one, for a `with` statement."""
    return import_module("opentelemetry.trace").get_tracer("shop").start_as_current_span(name)


@contextmanager
def connection(host: str) -> Generator[str, None, None]:
    """Connects to a host; the span lasts until the connection is closed."""
    with span(f"connection to {host}"):
        yield host


def load_user(number: int) -> str:
    """Loads a user, for which it looks into two places."""
    with span("load_user"):
        log.info("loading user %s", number)
        name, mail = parallel(read)("name").parallel(read)("mail").results()
        return f"{name} <{mail}>"


def read(field: str) -> str:
    """Reads a field."""
    with span(f"read {field}"):
        log.info("reading %s", field)
        time.sleep(0.01)
        return {"name": "Ada", "mail": "ada@example.com"}[field]


def fetch_price(article: str) -> int:
    """Fetches the price of an article."""
    with span("fetch_price") as price_span:
        log.info("fetching the price of %s", article)
        price_span.set_attribute("article", article)
        return 7


def answer() -> str:
    """Does what is to be traced."""
    with span("answer"), parallel(connection("one")).parallel(connection("two")):
        user, price = parallel(load_user)(1).parallel(fetch_price)("tea").results()
        return f"{user} pays {price}"


def print_tree(spans: list[Any], parent: int | None = None, depth: int = 0) -> None:
    """Prints the spans below their parents, in the order of their names."""
    for each in sorted(spans, key=lambda each: str(each.name)):
        if (each.parent.span_id if each.parent else None) == parent:
            print("  " * depth + each.name)
            print_tree(spans, each.context.span_id, depth + 1)


def main() -> None:
    """Prints the answer and the tree of the spans; logs to the standard error stream."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    if not find_spec("opentelemetry"):
        sys.exit("This needs OpenTelemetry: uv run --group integrations python examples/tracing.py")
    sdk = "opentelemetry.sdk.trace"
    spans: Any = import_module(f"{sdk}.export.in_memory_span_exporter").InMemorySpanExporter()
    provider: Any = import_module(sdk).TracerProvider()
    provider.add_span_processor(import_module(f"{sdk}.export").SimpleSpanProcessor(spans))
    import_module("opentelemetry.trace").set_tracer_provider(provider)

    logging.basicConfig(level=logging.INFO, format="%(threadName)s: %(message)s")
    print(answer())
    print_tree(list(spans.get_finished_spans()))


if __name__ == "__main__":
    main()
