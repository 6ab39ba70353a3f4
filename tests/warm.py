"""Starts programs as forks of one process that has imported what they begin with, which takes seconds of a processor.

Arguments: the modules to import. Then for each line of JSON on stdin: a program to start, answered with its process id;
or a process id, answered with how it ended, or null where it still runs. A program is a script or ``-m`` and a module,
with arguments ("run"), and "cwd", "env", "stdout" and "stderr", the last two files. It has a process of its own, and
ends as if it had been started alone.
"""

import gc
import importlib
import json
import os
import runpy
import sys
import warnings
from typing import Any


def become(program: dict[str, Any]) -> None:
    """Run the program in this process."""
    os.chdir(program["cwd"])
    os.environ.clear()
    os.environ.update(program["env"])
    if os.environ.get("PYTHONWARNINGS") == "ignore":  # read at the start of an interpreter, which was before
        warnings.simplefilter("ignore")
    for fd, path in enumerate((os.devnull, program["stdout"], program["stderr"])):
        os.dup2(os.open(path, os.O_RDONLY if fd == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), fd)
    match program["run"]:
        case ["-m", module, *arguments]:
            sys.argv = [module, *arguments]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [script, *arguments]:
            sys.argv = [script, *arguments]
            sys.path[0] = program["cwd"]
            runpy.run_path(script, run_name="__main__")


def main() -> None:
    """Answer until stdin ends."""
    for name in sys.argv[1:]:
        importlib.import_module(name)
    gc.freeze()  # or each fork looks through all that was imported, and so copies it, when it ends
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, int):
            pid, status = os.waitpid(asked, os.WNOHANG)
            print(json.dumps(os.waitstatus_to_exitcode(status) if pid else None), flush=True)
        elif (pid := os.fork()) == 0:
            return become(asked)
        else:
            print(pid, flush=True)


if __name__ == "__main__":
    main()
