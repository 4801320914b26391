"""Work that is killed in its middle, in a fork of this process: what was loaded here, such as torch, need not be loaded again."""

import os
import signal
import traceback
from collections.abc import Callable


def killed_in(work: Callable[[], object]) -> None:
    """Do work in a fork that must stop dead before the work ends, by `die`.

    Raises:
        AssertionError: if the fork ended in another way; what was raised in it is on stderr.
    """
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException:  # noqa: BLE001 - nothing of this test run may go on in the fork
            traceback.print_exc()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (
        f"the fork was not killed: {status}"
    )


def die() -> None:
    """Kill this process as the machine would: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)
