"""Whether this machine can have a sandbox, and limits for quick programs."""

import subprocess

import pytest

from sft.scoring.programs.sandbox import MIB, Limits

QUICK = Limits(cpu_seconds=2, wall_seconds=3, memory=256 * MIB)
PATIENT = QUICK._replace(wall_seconds=20)
"""For runs that end by themselves or at another limit, on a busy machine too."""


def without_namespaces() -> str | None:
    """Why this machine cannot have a sandbox at all; null where it can, and where bubblewrap's refusal is the project's fault."""
    try:
        plain = ["bwrap", "--unshare-user", "--unshare-pid", "--unshare-net", "--ro-bind", "/", "/", "true"]
        done = subprocess.run(plain, capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        return "bubblewrap is not installed (apt-get install bubblewrap)"
    return None if done.returncode == 0 else f"user namespaces are refused here: {done.stderr.strip()}"


WHY_NOT = without_namespaces()
needs_sandbox = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")
ALLOW_ALL = b"\x06\x00\x00\x00\x00\x00\xff\x7f"
"""A filter that refuses nothing."""
