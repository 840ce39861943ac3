"""Asks three slow services, one after the other and then in parallel, and prints the time that this saved."""

from __future__ import annotations

import argparse
from time import perf_counter
from typing import NamedTuple
from urllib.request import ProxyHandler, build_opener

from backends.slow_services import slow_services

from parallel import parallel

open_url = build_opener(ProxyHandler({})).open  # The services are on this machine, behind no proxy.


class User(NamedTuple):
    """A customer of the shop."""

    name: str
    city: str


def load_user(shop: str, number: int) -> User:
    """Asks the shop for a user."""
    name, city = read(f"{shop}/user/{number}").split(",")
    return User(name, city)


def load_orders(shop: str, user: int, *, limit: int = 10) -> list[str]:
    """Asks the shop for a user's last orders."""
    return read(f"{shop}/orders/{user}").split(",")[:limit]


def exchange_rate(bank: str, currency: str) -> float:
    """Asks the bank for an exchange rate."""
    return float(read(f"{bank}/rate/{currency}"))


def read(address: str) -> str:
    """Reads a text over HTTP."""
    with open_url(address, timeout=10) as response:
        return str(response.read().decode())


def main() -> None:
    """Prints the answers and both times."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    # Enters three context managers in parallel: each starts a web server on this machine.
    with slow_services() as (users, orders, bank):
        started = perf_counter()
        load_user(users, 7)
        load_orders(orders, 7, limit=2)
        exchange_rate(bank, "EUR")
        one_after_the_other = perf_counter() - started

        started = perf_counter()
        user, last_orders, rate = (
            parallel(load_user)(users, 7)
            .parallel(load_orders)(orders, 7, limit=2)
            .parallel(exchange_rate)(bank, "EUR")
        ).results()  # fmt: skip
        in_parallel = perf_counter() - started

    print(f"{user.name} from {user.city} ordered {' and '.join(last_orders)}; 1 EUR is {rate} USD")
    print(f"one after the other: {one_after_the_other:.1f} s")
    print(f"in parallel:         {in_parallel:.1f} s")


if __name__ == "__main__":
    main()
