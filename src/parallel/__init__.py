"""Call functions, or enter context managers, in parallel on threads, and get exactly typed results."""

from parallel._call_future import CallFuture
from parallel._cancellation import Cancellation, cancellation
from parallel.future_collection import FutureCollection
from parallel.future_context_collection import FutureContextCollection
from parallel.parallel import parallel, parallel_contexts, parallel_map
from parallel.parallel_executor import ParallelExecutor
from parallel.return_when import ReturnWhen

__all__ = [
    "CallFuture",
    "Cancellation",
    "FutureCollection",
    "FutureContextCollection",
    "ParallelExecutor",
    "ReturnWhen",
    "cancellation",
    "parallel",
    "parallel_contexts",
    "parallel_map",
]
