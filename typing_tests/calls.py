"""Calls of every kind of callable keep their parameters and their result. Read by checkers only; see test_typing.py."""

from __future__ import annotations

from functools import partial
from typing import (
    Any,
    Callable,
    Generic,
    List,
    NamedTuple,
    NoReturn,
    Optional,
    Tuple,
    TypedDict,
    TypeVar,
    Union,
    overload,
)

from typing_extensions import Protocol, assert_type

from parallel import FutureCollection, parallel

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class User(TypedDict):
    """A result with keys."""

    name: str
    age: int


class Size(NamedTuple):
    """A result with fields."""

    width: int
    height: int


class Page:
    """A class with methods of every kind."""

    def __init__(self, url: str, *, retries: int = 3) -> None:
        """A page has a URL."""
        self.url = url
        self.retries = retries

    def fetch(self, timeout: float = 1.0) -> bytes:
        """A bound method, with a parameter that is called like one of the library's."""
        return self.url.encode() * int(timeout)

    @classmethod
    def parse(cls, text: str) -> Page:
        """A class method."""
        return cls(text)

    @staticmethod
    def join(*parts: str) -> str:
        """A static method."""
        return "/".join(parts)


class Parser:
    """A callable instance."""

    def __call__(self, text: str, base: int = 10) -> int:
        """Parses a number."""
        return int(text, base)


class Handler(Protocol[T_contra]):
    """A protocol with a call."""

    def __call__(self, item: T_contra, *, strict: bool = False) -> str:
        """Handles an item."""
        ...


class Box(Generic[T]):
    """A generic class."""

    def __init__(self, item: T) -> None:
        """A box has an item."""
        self.item = item

    def get(self) -> T:
        """A method of a generic class."""
        return self.item


def load_user(number: int, name: str = "", *, age: int = 0) -> User:
    """Returns a dictionary with known keys."""
    return {"name": name, "age": age + number}


def measure(text: str, /) -> Size:
    """Takes its argument by position only."""
    return Size(len(text), 1)


def find(number: int) -> str | None:
    """May find nothing."""
    return str(number) if number else None


def either(number: int) -> int | str:
    """Returns one or the other."""
    return number or str(number)


def total(first: int, *numbers: int, **named: float) -> float:
    """Takes any number of arguments."""
    return first + sum(numbers) + sum(named.values())


def clash(func: int, self: str, timeout: float, executor: bytes, context_manager: bool) -> str:  # noqa: FBT001  # The names matter.
    """Has parameters that are called like the library's."""
    return f"{func}{self}{timeout}{executor!r}{context_manager}"


def clash_more(target: int, *, parallel_exit: str, args: float, kwargs: bytes, fn: str) -> str:
    """Has more of them."""
    return f"{target}{parallel_exit}{args}{kwargs!r}{fn}"


def fail() -> NoReturn:
    """Never returns."""
    raise NotImplementedError


def forget(name: str) -> None:
    """Returns nothing."""
    print(name)


def same(item: T) -> T:
    """A generic function."""
    return item


def pair(first: T, second: T, /) -> list[T]:
    """A generic function with two parameters of one type."""
    return [first, second]


@overload
def double(item: int) -> int: ...


@overload
def double(item: str) -> str: ...


def double(item: int | str) -> int | str:
    """An overloaded function."""
    return item * 2


def plain_function() -> None:
    """a function"""
    assert_type(parallel(load_user)(7), FutureCollection[User])
    assert_type(parallel(load_user)(7).results(), Tuple[User])


def keywords_and_defaults() -> None:
    """keyword arguments, defaults, keyword-only parameters"""
    assert_type(parallel(load_user)(number=7, name="x").results(), Tuple[User])
    assert_type(parallel(load_user)(7, "x", age=1).results(), Tuple[User])


def positional_only() -> None:
    """positional-only parameters"""
    assert_type(parallel(measure)("x").results(), Tuple[Size])


def any_number_of_arguments() -> None:
    """`*args` and `**kwargs`"""
    assert_type(parallel(total)(1).results(), Tuple[float])
    assert_type(parallel(total)(1, 2, 3, x=1.5, y=2.5).results(), Tuple[float])


def clashing_parameter_names() -> None:
    """parameters called like the library's own"""
    calls = parallel(clash)(func=1, self="", timeout=2.5, executor=b"", context_manager=True)
    assert_type(calls, FutureCollection[str])
    more = calls.parallel(clash_more)(target=1, parallel_exit="", args=1.5, kwargs=b"", fn="")
    assert_type(more, FutureCollection[str, str])


def lambda_function() -> None:
    """a lambda"""
    assert_type(parallel(lambda: 1 + 2)().results(), Tuple[int])
    assert_type(parallel(lambda: [len("x")])().results(), Tuple[List[int]])


def nested_function() -> None:
    """a function within a function"""

    def inner(text: str) -> bytes:
        return text.encode()

    assert_type(parallel(inner)("x").results(), Tuple[bytes])


def bound_method() -> None:
    """a bound method"""
    assert_type(parallel(Page("").fetch)(timeout=2.5).results(), Tuple[bytes])
    assert_type(parallel(Page("").fetch)().results(), Tuple[bytes])


def unbound_method() -> None:
    """a method of the class, with its object"""
    assert_type(parallel(Page.fetch)(Page(""), 2.5).results(), Tuple[bytes])


def class_method() -> None:
    """a class method"""
    assert_type(parallel(Page.parse)("x").results(), Tuple[Page])


def static_method() -> None:
    """a static method"""
    assert_type(parallel(Page.join)("x", "y").results(), Tuple[str])


def class_itself() -> None:
    """a class"""
    assert_type(parallel(Page)("x", retries=1).results(), Tuple[Page])


def generic_class() -> None:
    """a generic class"""
    assert_type(parallel(Box)(1).results(), Tuple[Box[int]])


def method_of_generic_class() -> None:
    """a method of a generic class"""
    assert_type(parallel(Box("x").get)().results(), Tuple[str])


def named_tuple_class() -> None:
    """a `NamedTuple` class"""
    assert_type(parallel(Size)(1, height=2).results(), Tuple[Size])


def callable_instance() -> None:
    """an object with `__call__`"""
    assert_type(parallel(Parser())("ff", base=16).results(), Tuple[int])


def callable_protocol(handler: Handler[bytes]) -> None:
    """a `Protocol` with `__call__`"""
    assert_type(parallel(handler)(b"x", strict=True).results(), Tuple[str])


def callable_annotation(func: Callable[[int], str], anything: Callable[..., float]) -> None:
    """a `Callable`"""
    assert_type(parallel(func)(1).results(), Tuple[str])
    assert_type(parallel(anything)(1, x=2).results(), Tuple[float])


def partial_function() -> None:
    """`functools.partial`"""
    assert_type(parallel(partial(load_user, 7))(name="x").results(), Tuple[User])


def builtin_function() -> None:
    """built-in functions: `print`, `len`, `str.join`"""
    assert_type(parallel(print)("x", end="").results(), Tuple[None])
    assert_type(parallel(len)("x").results(), Tuple[int])
    assert_type(parallel([1].append)(2).results(), Tuple[None])


def builtin_class() -> None:
    """built-in classes: `int`, `float`"""
    assert_type(parallel(int)("7").results(), Tuple[int])
    assert_type(parallel(float)("7").results(), Tuple[float])


def open_text() -> None:
    """`open` of a text file: the first overload"""
    # limit: overloads_taken_together: ty
    (file,) = parallel(open)("x").results()
    assert_type(file.read(), str)


def open_binary() -> None:
    """`open` of a binary file: a later overload"""
    # limit: overload_taken_first: zuban
    # limit: overloads_taken_together: ty
    (file,) = parallel(open)("x", "rb").results()
    assert_type(file.read(), bytes)


def overloaded_function_first() -> None:
    """an overloaded function: its first overload"""
    # limit: overloads_taken_together: ty
    assert_type(parallel(double)(1).results(), Tuple[int])


def overloaded_function_second() -> None:
    """an overloaded function: its second overload"""
    # limit: overload_taken_first: zuban
    # limit: overloads_taken_together: ty
    assert_type(parallel(double)("x").results(), Tuple[str])


def overloaded_function_in_chain() -> None:
    """an overloaded function, chained"""
    # limit: overload_taken_first: zuban
    # limit: overloads_taken_together: ty
    assert_type(parallel(double)(1).parallel(double)("x").results(), Tuple[int, str])


def overloaded_function_in_lambda() -> None:
    """an overloaded function in a lambda"""
    assert_type(parallel(lambda: double("x"))().results(), Tuple[str])


def generic_function() -> None:
    """a generic function"""
    assert_type(parallel(same)(find(1)).results(), Tuple[Optional[str]])
    assert_type(parallel(same)([len("x")]).results(), Tuple[List[int]])


def generic_function_in_chain() -> None:
    """a generic function, chained"""
    assert_type(parallel(find)(1).parallel(same)(find(1)).results(), Tuple[Optional[str], Optional[str]])


def generic_function_of_two() -> None:
    """a generic function with two parameters of one type"""
    assert_type(parallel(pair)(Page("x"), Page("y")).results(), Tuple[List[Page]])


def generic_function_within_generic_function(item: T) -> T:
    """a generic function, called within another"""
    (result,) = parallel(same)(item).results()
    return result


def no_return() -> None:
    """a function that never returns"""
    calls = parallel(fail)()
    assert_type(calls, FutureCollection[NoReturn])
    print(calls)


def no_result() -> None:
    """a function without a result"""
    assert_type(parallel(forget)("x").results(), Tuple[None])


def optional_result() -> None:
    """an `Optional` result, narrowed"""
    (found,) = parallel(find)(1).results()
    assert_type(found, Optional[str])
    if found is not None:
        assert_type(found, str)


def union_result() -> None:
    """a `Union` result"""
    assert_type(parallel(either)(1).results(), Tuple[Union[int, str]])


def typed_dict_result() -> None:
    """a `TypedDict` result"""
    (user,) = parallel(load_user)(1).results()
    assert_type(user["age"], int)


def named_tuple_result() -> None:
    """a `NamedTuple` result"""
    ((width, height),) = parallel(measure)("x").results()
    assert_type(width, int)
    assert_type(height, int)


def any_result(anything: Any) -> None:
    """a call of `Any`"""
    parallel(lambda: anything.x)().results()[0].whatever()
