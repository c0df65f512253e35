"""Run a module as `python -m` would, and die when the parent does, however it dies.

`python -m catalog.demo.leash PARENT MODULE ARGUMENT...` is how the demo starts each of its
processes: a demo that is killed with SIGKILL cannot clear away its children, so they see to it
themselves.

On Linux the kernel does it: PR_SET_PDEATHSIG sends the signal when the thread that started us
ends, so the demo starts children from its main thread only. Elsewhere a thread looks twice a
second whether the parent is still the same.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys
import threading
import time

__all__ = ["main"]

PR_SET_PDEATHSIG = 1
LOOK_SECONDS = 0.5


def main(arguments: list[str]) -> None:
    """Tie our life to the process `arguments[0]`, and become the module `arguments[1]`."""
    parent, module, *rest = arguments
    tie(int(parent))
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def tie(parent: int) -> None:
    """See to it that this process ends with its parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_look_after, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it ended before the leash was on
        os.kill(os.getpid(), signal.SIGKILL)


def _look_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
