"""CPython's own tests of ``ThreadPoolExecutor``, run with ``ParallelExecutor``: with a limit, and without one."""

from __future__ import annotations

import importlib.util

import pytest

from children import run_to_end

LIMIT_OF_TESTS = 120.0
"""For how many seconds the tests of CPython may run; one waits for five."""

PROGRAM = """
import sys, unittest
from importlib import import_module
from parallel import ParallelExecutor

class Unlimited(ParallelExecutor):
    def __init__(self, max_workers=None):
        ParallelExecutor(max_workers)
        super().__init__()

# They look at threads that belong to one executor, or at the private attributes of the standard one, have initializers,
# import the executor from `concurrent.futures`, or count processors.
OF_THE_STANDARD_EXECUTOR = {
    "test_interpreter_shutdown", "test_submit_after_interpreter_shutdown", "test_threads_terminate",
    "test_context_manager_shutdown", "test_del_shutdown", "test_shutdown_no_wait", "test_thread_names_assigned",
    "test_thread_names_default", "test_cancel_futures_wait_false", "test_default_workers", "test_saturation",
    "test_idle_thread_reuse", "test_hang_global_shutdown_lock", "test_process_fork_from_a_threadpool",
    "test_hang_gh83386", "test_initializer",
}
# Without a limit, nothing waits that could be cancelled.
OF_QUEUES = {"test_cancel_futures", "test_executor_map_current_future_cancel"}
executor_type = {"limited": ParallelExecutor, "unlimited": Unlimited}[KIND]
package = import_module("test.test_concurrent_futures")
if hasattr(package, "__path__"):
    modules = [import_module(f"test.test_concurrent_futures.{name}")
               for name in ("test_thread_pool", "test_wait", "test_as_completed", "test_shutdown")]
    mixin = import_module("test.test_concurrent_futures.util").ThreadPoolMixin
else:
    modules, mixin = [package], package.ThreadPoolMixin
mixin.executor_type = executor_type
suite = unittest.TestSuite()
for module in modules:
    for cls in list(vars(module).values()):
        if isinstance(cls, type) and issubclass(cls, (mixin,)) and issubclass(cls, unittest.TestCase):
            names = unittest.TestLoader().getTestCaseNames(cls)
            left_out = set(OF_THE_STANDARD_EXECUTOR)
            if KIND == "unlimited":
                left_out |= OF_QUEUES
            if sys.version_info < (3, 9):
                left_out.add("test_submit_keyword")  # There, the function may have the name `fn`.
            suite.addTests(map(cls, filter(lambda name: name not in left_out, names)))
count = suite.countTestCases()
assert count > 20, count
result = unittest.TextTestRunner(verbosity=2).run(suite)
sys.exit(0 if result.wasSuccessful() else 1)
"""


@pytest.mark.skipif(
    importlib.util.find_spec("test.test_concurrent_futures") is None, reason="the tests of CPython are not here"
)
@pytest.mark.parametrize("kind", ["limited", "unlimited"])
def test_tests_of_cpython_pass(kind: str) -> None:
    done = run_to_end(f"KIND = {kind!r}\n{PROGRAM}", flags=[], prelude="", limit=LIMIT_OF_TESTS)
    assert done.returncode == 0, done.stderr
