"""An import: how long does ``import parallel`` take in a new process?"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from measuring import OURS, Report, installed, main, taking_turns

import parallel

ROUNDS = {"full": 31, "quick": 11, "tiny": 2}

STANDARD = "import concurrent.futures.thread"

# What the interpreter does before this is not counted.
CODE = """
import sys
from time import perf_counter
sys.path.append({folder!r})
began = perf_counter()
import {module}
print(perf_counter() - began)
"""


def seconds_to_import(module: str, cache: str) -> float:
    """Imports a module in a new process, which has its compiled code and that of all others in the folder ``cache``."""
    code = CODE.format(module=module, folder=str(Path(parallel.__file__).parent.parent))
    # Otherwise what is installed would be compiled already and what is checked out would not, where none is written.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = cache
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, env=environment)
    return float(done.stdout)


def measure(size: str) -> Report:
    """Imports what the library is compared with, each in new processes."""
    report = Report("import_time", "how long does `import parallel` take in a new process?")
    modules = {OURS: "parallel", STANDARD: "concurrent.futures.thread", "import asyncio": "asyncio"}
    for module in ("anyio", "trio", "joblib"):
        if installed(module) is None:
            report.left_out[module] = "not installed"
        else:
            modules[f"import {module}"] = module
    with TemporaryDirectory() as cache:
        # The first turn of each, which does not count, fills the cache.
        blocks = {name: partial(seconds_to_import, module, cache) for name, module in modules.items()}
        pairs = taking_turns(blocks, ROUNDS[size])
    report.add_figures("import", pairs, "ms", scale=1e3)
    # Below 3.11 there are two dependencies to be imported.
    report.add_ratios("import parallel", pairs, {STANDARD: 1.6} if sys.version_info >= (3, 11) else {})
    return report


if __name__ == "__main__":
    main(measure)
