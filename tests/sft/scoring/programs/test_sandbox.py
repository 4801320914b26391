"""Programs try to get out of the sandbox, each in one way; every test fails if that way is open."""

import os
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sft.scoring.programs import sandbox
from sft.scoring.programs.sandbox import MIB, run
from sft.scoring.programs.syscalls import MACHINES
from tests.sft.scoring.programs.sandboxed import ALLOW_ALL, PATIENT, QUICK, needs_sandbox


def processes_with(mark: str) -> list[str]:
    """Command lines of processes that carry a mark."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = line.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if mark in text:
            found.append(text)
    return found


def gone(mark: str) -> bool:
    """Whether the processes with a mark end, which the kernel may take a moment for."""
    for _ in range(200):
        if not processes_with(mark):
            return True
        time.sleep(0.05)
    return False


@needs_sandbox
def test_a_program_reads_stdin_and_prints() -> None:
    ran = run("a, b = map(int, input().split())\nprint(a + b)", "2 3\n")
    assert (ran.ending, ran.output, ran.error) == ("ended", "5\n", "")


@needs_sandbox
@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_VSOCK", "AF_NETLINK"])
def test_no_network(family: str) -> None:
    ran = run(f"import socket\nsocket.socket(socket.{family})")
    assert (ran.ending, ran.error) == (
        "runtime error", "PermissionError: [Errno 1] Operation not permitted",
    )  # fmt: skip


@needs_sandbox
def test_no_network_even_for_a_program_that_is_allowed_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.prove()
    monkeypatch.setattr(sandbox, "refusals", lambda: ALLOW_ALL)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ran = run(
            f"import socket\nprint(socket.if_nameindex())\nsocket.create_connection(('127.0.0.1', {port}), 2)"
        )
    assert ran.output == "[(1, 'lo')]\n"
    assert ran.error.startswith("ConnectionRefusedError")


@needs_sandbox
@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/proc/self/environ", "/sys/kernel", "/home", "/bin/sh", "/usr/bin/env", __file__]
)
def test_no_files_outside(path: str) -> None:
    assert Path(path).exists()
    assert run(f"import os\nos.stat({path!r})").error.startswith("FileNotFoundError")


@needs_sandbox
def test_no_file_of_the_users(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for path in (secret, Path.cwd(), Path.home() / ".bashrc"):
        assert run(f"print(open({str(path)!r}).read())").error.startswith("FileNotFoundError")


@needs_sandbox
def test_no_package_beside_the_standard_library() -> None:
    ran = run("import site, os\nprint([os.listdir(p) for p in site.getsitepackages() if os.path.isdir(p)])")
    assert ran.output.strip("[], \n") == ""
    assert run("import pip").error == "ModuleNotFoundError: No module named 'pip'"


@needs_sandbox
@pytest.mark.parametrize("path", ["/x", "/usr/lib/x", "/dev/x", "/program.py", "/runner.py", os.__file__])
def test_nothing_is_written_outside_the_scratch_folder(path: str) -> None:
    assert run(f"open({path!r}, 'w')").error.split(":")[0] in ("OSError", "PermissionError", "FileNotFoundError")  # fmt: skip


@needs_sandbox
def test_the_scratch_folder_is_empty_small_and_thrown_away() -> None:
    assert run("open('mine', 'w').write('x')\nimport os\nprint(os.listdir())").output == "['mine']\n"
    assert run("import os\nprint(os.listdir())").output == "[]\n"
    large = "for n in range(8):\n  with open(str(n), 'wb') as f: f.write(bytes(4 << 20))"
    assert run(large).error == "OSError: [Errno 28] No space left on device"
    assert run("open('x', 'wb').write(bytes(40 << 20))").error == "OSError: [Errno 27] File too large"


@needs_sandbox
def test_a_fork_bomb_stays_small() -> None:
    bomb = "import os, time\nn = 0\nfor _ in range(100):\n  try: child = os.fork()\n  except OSError: break\n  if not child: time.sleep(9)\n  n += 1\nprint(n)"
    ran = run(bomb, limits=PATIENT._replace(processes=12))
    assert (ran.ending, ran.output) == ("ended", "10\n")


@needs_sandbox
def test_memory_is_limited() -> None:
    assert run("x = bytearray(1 << 30)", limits=PATIENT)[:2] == ("memory", "")
    assert run("x = []\nwhile True: x.append('a' * 10**6)", limits=PATIENT).ending == "memory"


@needs_sandbox
def test_memory_of_all_processes_together_is_limited() -> None:
    each = "import os, time\nfor _ in range(5):\n  if not os.fork(): break\nx = bytearray(150 << 20)\nfor n in range(0, len(x), 4096): x[n] = 1\ntime.sleep(9)"
    ran = run(each, limits=PATIENT)
    assert ran.ending == "memory"


def test_memory_below_a_process_counts_while_its_threads_come_and_go() -> None:
    """And still when its first thread, which the kernel names the process after, has ended."""
    child = "x = bytearray(64 << 20)\nprint('there', flush=True)\nimport time\ntime.sleep(60)"
    parent = f"""
import ctypes, subprocess, sys, threading
def work():
    made = subprocess.Popen([sys.executable, "-c", {child!r}])
    while made.poll() is None:
        one = threading.Thread(target=int)
        one.start()
        one.join()
threading.Thread(target=work).start()
ctypes.CDLL(None).pthread_exit(None)
"""
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout and process.stdout.readline() == b"there\n"
        least = min(sandbox.memory_of(process.pid) for _ in range(300))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert least > 64 * MIB


@needs_sandbox
@pytest.mark.parametrize(
    "way",
    [
        "print(os.memfd_create('x'))",
        "print(libc.shmget(0, 1 << 30, 0o1600)); assert ctypes.get_errno() == 0",
        "open('/dev/shm/x', 'w')",
        "open('x', 'w'); os.setxattr('x', 'user.x', bytes(60000))",
        "open('x', 'w'); assert libc.lsetxattr(b'x', b'user.x', bytes(60000), 60000, 0) == 0",
        "assert libc.fsetxattr(open('x', 'w').fileno(), b'user.x', bytes(60000), 60000, 0) == 0",
    ],
)
def test_no_memory_beside_that_of_processes(way: str) -> None:
    ran = run(f"import os, ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n{way}")
    assert ran.ending == "runtime error"


@needs_sandbox
@pytest.mark.parametrize("way", ["open(f'{n}', 'w').close()", "os.mkdir(f'{n}')", "os.symlink('x', f'{n}')"])
def test_files_and_folders_without_number_are_stopped(way: str) -> None:
    ran = run(f"import itertools, os\nfor n in itertools.count():\n    {way}")
    assert ran.ending == "memory"


@needs_sandbox
def test_an_endless_loop_is_stopped_by_its_processor_time() -> None:
    ran = run("while True: pass", limits=PATIENT._replace(cpu_seconds=1, wall_seconds=3600))
    assert (ran.ending, ran.error) == ("time limit", "SIGXCPU")


@needs_sandbox
def test_a_loop_that_shrugs_signals_off_is_stopped() -> None:
    stubborn = "import signal\nfor n in (signal.SIGXCPU, signal.SIGTERM, signal.SIGINT): signal.signal(n, signal.SIG_IGN)\nwhile True: pass"
    ran = run(stubborn, limits=PATIENT._replace(cpu_seconds=1, wall_seconds=3600))
    assert ran.ending == "time limit"


@needs_sandbox
def test_a_sleeper_is_stopped_at_the_wall_limit() -> None:
    ran = run("import time\nprint('hello', flush=True)\ntime.sleep(60)", limits=QUICK)
    assert (ran.ending, ran.output) == ("time limit", "hello\n")


@needs_sandbox
def test_a_program_that_closes_its_output_is_stopped_too() -> None:
    ran = run("import os, time\nos.close(1); os.close(2)\ntime.sleep(60)", limits=QUICK)
    assert ran.ending == "time limit"


@needs_sandbox
@pytest.mark.parametrize("handle", [1, 2])
def test_output_without_end_is_cut(handle: int) -> None:
    flood = f"import os\nwhile True: os.write({handle}, b'x' * 65536)"
    ran = run(flood, limits=(PATIENT if handle == 1 else QUICK)._replace(output=MIB))
    assert ran.ending == ("output limit" if handle == 1 else "time limit")
    assert len(ran.output) <= MIB + 65536
    assert len(ran.error) <= 200


@needs_sandbox
@pytest.mark.parametrize("target", ["os.getppid()", "-1", "0", "{parent}", "1"])
def test_signals_reach_nobody_outside(target: str) -> None:
    mark = f"bystander{os.getpid()}"
    told: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    bystander = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)", mark], start_new_session=True
    )
    try:
        number = target.format(parent=bystander.pid)
        run(
            f"import os, signal\nfor n in (signal.SIGTERM, signal.SIGKILL):\n  try: os.kill({number}, n)\n  except OSError as e: print(e)"
        )
        assert bystander.poll() is None
        assert told == []
    finally:
        bystander.kill()
        bystander.wait()
        signal.signal(signal.SIGTERM, before)


@needs_sandbox
def test_the_environment_stays_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "secret")
    names = run("import os\nprint(*sorted(os.environ))").output.split()
    assert names == sorted({*sandbox.ENVIRONMENT, "PWD"})


@needs_sandbox
@pytest.mark.parametrize("closes", ["", "for n in range(3): os.close(n)\n    "])
def test_daemons_end_with_their_program(closes: str) -> None:
    mark = f"daemon{os.getpid()}{len(closes)}"
    daemon = f"""
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        {closes.strip() or "pass"}
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)", "{mark}"])
    os._exit(0)
time.sleep(1.5)
print("done")
"""
    seen: list[list[str]] = []
    over = threading.Event()
    watcher = threading.Thread(target=lambda: seen.extend(_watch(mark, over)))
    watcher.start()
    try:
        ran = run(daemon, limits=PATIENT)
    finally:
        over.set()
        watcher.join()
    assert ran.output == "done\n"
    assert any(seen), "the daemon never ran, so this test shows nothing"
    assert gone(mark)


def _watch(mark: str, over: threading.Event) -> Iterator[list[str]]:
    while not over.wait(0.05):
        yield processes_with(mark)


@needs_sandbox
def test_a_daemon_of_a_program_that_was_stopped_ends() -> None:
    mark = f"stopped{os.getpid()}"
    program = f"""
import os, sys, time
if os.fork() == 0:
    os.setsid()
    os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)", "{mark}"])
time.sleep(60)
"""
    assert run(program, limits=QUICK).ending == "time limit"
    assert gone(mark)


@needs_sandbox
def test_nothing_is_left_when_the_scoring_process_is_killed() -> None:
    mark = f"orphan{os.getpid()}"
    program = f"import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)', '{mark}'])"
    code = f"from sft.scoring.programs.sandbox import run, prove; prove(); print('go', flush=True); run({program!r})"
    outer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert outer.stdout and outer.stdout.readline() == "go\n"
    for _ in range(400):
        if processes_with(mark + "\0"):
            break
        time.sleep(0.05)
    else:
        pytest.fail("the program never ran, so this test shows nothing")
    outer.kill()
    outer.wait()
    assert gone(mark + "\0")


@needs_sandbox
@pytest.mark.parametrize("flag", ["0x10000000", "0x00020000", "0x40000000"])
@pytest.mark.parametrize("call", ["libc.unshare({flag})", "libc.syscall({clone}, {flag} | 17, 0, 0, 0, 0)"])
def test_no_new_namespaces(flag: str, call: str) -> None:
    attempt = call.format(flag=flag, clone=MACHINES[platform.machine()].clone)
    ran = run(
        f"import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nprint({attempt}, ctypes.get_errno())"
    )
    assert ran.output == "-1 1\n"


@needs_sandbox
def test_no_privileges() -> None:
    assert run("import os\nprint(os.getuid() != 0)").output == "True\n"
    assert run("import os\nos.setuid(0)").error.startswith(("PermissionError", "OSError"))
    mount = "import ctypes\nprint(ctypes.CDLL(None).mount(b'x', b'/tmp', b'tmpfs', 0, 0))"
    assert run(mount).output == "-1\n"


@needs_sandbox
def test_handles_of_the_scoring_process_stay_outside(tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        found = run("import os\nfor n in range(3, 64):\n  try: os.fstat(n); print(n)\n  except OSError: pass")
    assert found.output == ""


@needs_sandbox
def test_what_is_reported_of_an_error_is_one_printable_line() -> None:
    ran = run("import sys\nsys.stderr.write('first\\n\\x1b[31mlast' + 'x' * 1000)\nsys.exit(0)\n")
    assert ran.error.startswith("[31mlast")
    assert len(ran.error) == 200
    assert run("1 / 0").error == "ZeroDivisionError: division by zero"
