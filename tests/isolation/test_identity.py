"""Who a caller is: what the kernel says, whatever the caller says or has got hold of."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.broker import Broker
from isolation.box import Box, BoxError, Group, device_socket, lease, operator
from quantainer_client.errors import QuantainerError

HELLO = {"op": "hello"}
_CLONE3, _PRCTL_DUMPABLE = 435, 4
_NEW_USER, _NEW_MOUNT = 0x10000000, 0x20000


# Forged words


def test_nothing_in_a_message_says_who_sends_it(box: Callable[..., Box]) -> None:
    victim, forger = box("forged-victim"), box("forger")
    theirs = victim.eval("Connection(DEVICE).hello()['lease']")
    for field in ("lease", "tenant", "container", "uid", "pid", "anchor", "operator"):
        assert forger.code({"op": "hello", field: theirs["id"]}) == "bad_request"
    mine = forger.eval("Connection(DEVICE).hello()['lease']")
    assert mine["id"] != theirs["id"]
    assert mine["tenant"] == "forger"


def test_credentials_of_another_process_cannot_be_sent(box: Callable[..., Box]) -> None:
    """The kernel refuses to carry them, whether or not the number is seen from inside."""
    victim = box("credentials-victim")
    forger = box("forger", leased=False, user=65534, unshare=())
    for forged in (victim.pid, os.getpid(), 1):
        with pytest.raises(BoxError) as caught:
            forger.eval(f"ask(dial(DEVICE), {HELLO!r}, credentials({forged}))")
        assert caught.value.code == "PermissionError"


def test_root_in_a_pid_namespace_can_forge_only_within_it(box: Callable[..., Box]) -> None:
    victim, forger = box("namespace-victim"), box("namespace-forger")
    with pytest.raises(BoxError) as caught:  # there is no such process where it lives
        forger.eval(f"ask(dial(DEVICE), {HELLO!r}, credentials({victim.pid}))")
    assert caught.value.code == "ProcessLookupError"
    reply = forger.eval(f"ask(dial(DEVICE), {HELLO!r}, credentials(1))")
    assert reply["lease"]["tenant"] == "namespace-forger"


def test_another_user_named_in_credentials_changes_nothing(box: Callable[..., Box]) -> None:
    forger = box("user-forger")
    reply = forger.eval(f"ask(dial(DEVICE), {HELLO!r}, credentials(os.getpid(), 12345, 12345))")
    assert reply["lease"]["tenant"] == "user-forger"


# Numbers that come back


def _clone_as(pid: int) -> int:
    """Fork a child that has this number; it waits to be killed."""
    numbers = (ctypes.c_int * 1)(pid)
    arguments = (ctypes.c_uint64 * 11)()
    arguments[4] = signal.SIGCHLD
    arguments[8], arguments[9] = ctypes.addressof(numbers), 1
    child = ctypes.CDLL(None).syscall(_CLONE3, arguments, ctypes.sizeof(arguments))
    if child == 0:
        try:
            time.sleep(120)
        finally:
            os._exit(0)
    return int(child)


def test_a_number_used_again_does_not_inherit_the_connection(
    make_broker: Callable[..., Broker], group: Callable[..., Group]
) -> None:
    """Connect and send, die while the broker sleeps, and let the victim take the number."""
    broker = make_broker(workers="1")
    ours, theirs = group("reuse-attacker"), group("reuse-victim")
    lease(broker, "reuse-victim", cgroup=theirs.path)
    assert broker.process is not None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(20)
    broker.process.send_signal(signal.SIGSTOP)
    try:
        attacker = os.fork()
        if attacker == 0:
            ours.take(os.getpid())
            sock.connect(str(device_socket(broker)))
            sock.send(b'{"v":1,"id":1,"op":"hello"}')
            os._exit(0)
        os.waitpid(attacker, 0)
        victim = _clone_as(attacker)
        if victim < 0:
            pytest.skip("this kernel does not let a test choose a process's number")
        assert victim == attacker
        theirs.take(victim)
    finally:
        broker.process.send_signal(signal.SIGCONT)
    try:
        reply = sock.recv(65536)
        assert b'"ok":false' in reply
        assert b"no_lease" in reply
    finally:
        sock.close()
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)


def _pid_namespace(pid: int) -> int:
    return Path(f"/proc/{pid}/ns/pid").stat().st_ino


def _settle_in(numbers: set[int], settlers: list[subprocess.Popen[bytes]]) -> int:
    """Make pid namespaces until one has such a number; the kernel gives the lowest that is free."""
    for _ in range(300):
        command = ["unshare", "--pid", "--fork", "--kill-child", "sleep", "120"]
        settlers.append(subprocess.Popen(command))
        children = Path(f"/proc/{settlers[-1].pid}/task/{settlers[-1].pid}/children")
        while not (found := children.read_text().split()):
            time.sleep(0.001)
        if _pid_namespace(int(found[0])) in numbers:
            return int(found[0])
    pytest.skip("this kernel does not use the numbers of namespaces again")


def test_a_namespace_number_used_again_does_not_inherit_the_lease(
    make_broker: Callable[..., Broker],
) -> None:
    """Pid namespaces end while the broker is down, and a stranger's gets the number of one."""
    broker = make_broker(workers="1")
    boxes = [Box(broker) for _ in range(3)]
    for number, box in enumerate(boxes):
        lease(broker, f"gone-unseen-{number}", pid=box.pid, anchor="pidns")
        assert box.code(HELLO) == "ok"
    numbers = {_pid_namespace(box.pid) for box in boxes}
    broker.stop(signal.SIGKILL)
    for box in boxes:
        os.kill(box.pid, signal.SIGKILL)  # its parent gives the number back at once
    time.sleep(0.5)
    settlers: list[subprocess.Popen[bytes]] = []
    try:
        stranger = _settle_in(numbers, settlers)
        broker.start()
        program = (
            "from quantainer_client.connection import Connection\n"
            f"print(Connection({str(device_socket(broker))!r}).hello())"
        )
        enter = ["nsenter", "--target", str(stranger), "--pid", sys.executable, "-c", program]
        said = subprocess.run(enter, capture_output=True, check=False)
        assert b"belongs to no container" in said.stderr, said
        assert broker.leases() == []
    finally:
        for each in settlers:
            each.kill()
            each.wait()
        for box in boxes:
            box.stop()


# Places


def test_a_process_that_left_its_container_has_no_lease(
    broker: Broker, box: Callable[..., Box], group: Callable[..., Group]
) -> None:
    home = group("left")
    runaway = box("left", group=home, fields={"anchor": "cgroup"})
    assert runaway.code(HELLO) == "ok"
    home.expel(runaway.pid)
    assert runaway.code(HELLO) == "no_lease"


def test_a_process_that_moves_into_anothers_group_gets_nothing(
    broker: Broker, box: Callable[..., Box], group: Callable[..., Group]
) -> None:
    """With a control group file system it may write, as ``--privileged`` gives one."""
    target, home = group("moved-victim"), group("mover")
    victim = box("moved-victim", group=target, fields={"anchor": "cgroup"})
    mover = box("mover", group=home, fields={"anchor": "cgroup"})
    stranger = box("moved-stranger", leased=False)
    for intruder in (mover, stranger):
        target.take(intruder.pid)
        assert intruder.code(HELLO) == "no_lease"
    assert victim.code(HELLO) == "ok"


def test_a_container_placed_below_anothers_group_gets_nothing(
    broker: Broker, box: Callable[..., Box], group: Callable[..., Group]
) -> None:
    """As ``--cgroup-parent`` with the other's path does."""
    outer = group("parent-victim")
    inner = group("planted", outer)
    box("parent-victim", group=outer, fields={"anchor": "cgroup"})
    planted = box("planted", group=inner, leased=False)
    assert planted.code(HELLO) == "no_lease"


def test_containers_within_a_container_are_the_outer_ones_lease(
    broker: Broker, box: Callable[..., Box], group: Callable[..., Group]
) -> None:
    """Nested control groups, pid namespaces and user namespaces do not shed the lease."""
    outer = group("outer")
    inner = group("inner", outer)
    host = box("outer", group=outer, fields={"anchor": "cgroup"})
    inner.take(host.pid)
    code = (
        "import sys; from quantainer_client.connection import Connection;"
        "print(Connection(sys.argv[1]).hello()['lease']['tenant'])"
    )
    for options in (["--pid", "--fork"], ["--user", "--map-root-user"], ["--cgroup", "--mount"]):
        words = ["unshare", *options, sys.executable, "-c", code, str(device_socket(broker))]
        done = host(
            f"import subprocess; answer = subprocess.run({words!r}, capture_output=True, text=True)"
            ".stdout.strip()"
        )
        assert done == "outer", options


def test_a_user_namespace_gives_no_access(broker: Broker, box: Callable[..., Box]) -> None:
    """An unprivileged user who is root in a namespace of their own is nobody to the broker."""
    root_inside = box("userns", leased=False, unshare=(), user=65534)
    root_inside(
        f"libc = ctypes.CDLL(None, use_errno=True); libc.prctl({_PRCTL_DUMPABLE}, 1, 0, 0, 0)\n"
        f"assert libc.unshare({_NEW_USER | _NEW_MOUNT}) == 0, os.strerror(ctypes.get_errno())\n"
        "open('/proc/self/uid_map', 'w').write('0 65534 1')"
    )
    assert root_inside.eval("os.getuid()") == 0
    assert root_inside.code(HELLO) == "no_lease"
    with pytest.raises(BoxError) as caught:
        root_inside.code(HELLO, "HOST")
    assert caught.value.code == "PermissionError"


# Stolen connections

TAKE = """
with socket.socket(socket.AF_UNIX) as giver:
    giver.connect({path!r})
    taken = socket.socket(fileno=socket.recv_fds(giver, 1, 1)[1][0])
taken.settimeout(20)
"""


def hand_over(broker: Broker, giver: Box | None, taker: Box, where: str) -> None:
    """Connect as ``giver`` (the host itself if ``None``) and let ``taker`` have it as ``taken``."""
    path = broker.home / "handover.sock"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o777)
        listener.listen(1)
        taker.say(TAKE.format(path=str(path)))
        between, _ = listener.accept()
        with between:
            if giver is None:
                own = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                own.connect(where)
                own.send(b'{"v":1,"id":1,"op":"hello"}')
                assert b'"ok":true' in own.recv(65536)
                socket.send_fds(between, [b"x"], [own.fileno()])
                own.close()
            else:
                inner = broker.home / "inner.sock"
                inner.unlink(missing_ok=True)
                with socket.socket(socket.AF_UNIX) as second:
                    second.bind(str(inner))
                    inner.chmod(0o777)
                    second.listen(1)
                    giver.say(
                        f"out = socket.socket(socket.AF_UNIX); out.connect({str(inner)!r});"
                        f"mine = dial(DEVICE); assert ask(mine, {HELLO!r})['ok'];"
                        "socket.send_fds(out, [b'x'], [mine.fileno()])"
                    )
                    third, _ = second.accept()
                    with third:
                        fds = socket.recv_fds(third, 1, 1)[1]
                        socket.send_fds(between, [b"x"], fds)
                        os.close(fds[0])
                giver.hear()
            taker.hear()


def test_a_connection_stolen_from_a_container_is_refused(
    broker: Broker, box: Callable[..., Box]
) -> None:
    """Nobody is charged: neither who opened it nor who sent over it."""
    giver = box("stolen-from")
    for thief in (box("thief"), box("thief-without-lease", leased=False)):
        hand_over(broker, giver, thief, "")
        submit = (
            "payload = Payload(); payload.append(BELL.encode()); fd = payload.seal();"
            "answer = code_of(ask(taken, {'op': 'submit', 'shots': 5,"
            " 'pubs': [{'offset': 0, 'length': len(BELL)}]}, rights(fd)))"
        )
        assert thief(submit) in ("forbidden", "no_lease")
        assert giver.eval("ask(mine, {'op': 'jobs'})['jobs']") == []


def test_a_stolen_connection_of_the_operator_is_refused(
    broker: Broker, box: Callable[..., Box]
) -> None:
    thief = box("operator-thief")
    hand_over(broker, None, thief, str(broker.socket))
    for op in ("hello", "status", "lease.list", "shutdown"):
        assert thief.eval(f"code_of(ask(taken, {{'op': {op!r}}}))") == "forbidden"


def test_a_process_that_hides_its_owner_is_not_taken_for_root(
    broker: Broker, box: Callable[..., Box]
) -> None:
    """``/proc`` shows what belongs to a process that may not be dumped as root's."""
    thief = box("hidden", leased=False, unshare=(), user=65534)
    thief(f"ctypes.CDLL(None).prctl({_PRCTL_DUMPABLE}, 0, 0, 0, 0)")
    assert Path(f"/proc/{thief.pid}/status").stat().st_uid == 0
    hand_over(broker, None, thief, str(broker.socket))
    for op in ("hello", "status", "lease.list"):
        assert thief.eval(f"code_of(ask(taken, {{'op': {op!r}}}))") == "forbidden"


# The host's socket


def test_containers_have_no_way_to_operate(broker: Broker, box: Callable[..., Box]) -> None:
    """Not over their own socket, and not over the host's if someone mounts it into them."""
    leased, stranger = box("no-operator"), box("no-operator-stranger", leased=False)
    request = {"container": "mine", "pid": 1, "anchor": "pidns"}
    for op in ("lease.open", "lease.close", "lease.list", "lease.pause", "status", "shutdown"):
        assert leased.code({"op": op, **request}) == "unknown_op"
        assert stranger.code({"op": op, **request}) == "no_lease"
        assert leased.code({"op": op, **request}, "HOST") == "forbidden"
        assert stranger.code({"op": op, **request}, "HOST") == "forbidden"


def test_a_mount_namespace_of_its_own_is_no_host_process(
    broker: Broker, box: Callable[..., Box]
) -> None:
    """What ``--pid host`` leaves of a container."""
    pid_host = box("pid-host", leased=False, unshare=("--mount",))
    assert pid_host.code(HELLO, "HOST") == "forbidden"
    assert pid_host.code(HELLO) == "no_lease"


def test_a_user_without_the_group_reaches_nothing(broker: Broker, box: Callable[..., Box]) -> None:
    user = box("outsider", leased=False, unshare=(), user=65534)
    with pytest.raises(BoxError) as caught:
        user.code(HELLO, "HOST")
    assert caught.value.code == "PermissionError"
    assert user.code(HELLO) == "no_lease"


def test_a_lease_never_covers_the_broker_or_the_host(broker: Broker) -> None:
    with operator(broker) as channel:
        for request in ({"cgroup": "/"}, {"pid": os.getpid(), "anchor": "pidns"}):
            with pytest.raises(QuantainerError) as caught:
                channel.round_trip("lease.open", {"container": "all", **request}, None, 30)
            assert caught.value.code == "bad_request"


def test_a_container_with_users_of_its_own_is_its_lease(
    broker: Broker, box: Callable[..., Box], group: Callable[..., Group]
) -> None:
    """``--userns-remap``, ``--userns=auto``: whom it calls root does not matter, here or there."""
    own = ("--user", "--map-root-user", "--pid", "--fork", "--kill-child")
    boxes = [box(f"remapped-{i}", leased=False, unshare=own, group=group(f"r{i}")) for i in (0, 1)]
    for number, each in enumerate(boxes):
        lease(broker, f"remapped-{number}", pid=each.pid)
    for number, each in enumerate(boxes):
        assert each.eval("os.getuid()") == 0
        found = each.eval("Connection(DEVICE).hello()['lease']")
        assert found["tenant"] == f"remapped-{number}"
        assert each.eval("sum(Connection(DEVICE).run(BELL, shots=7).counts().values())") == 7
        assert each.code(HELLO, "HOST") == "forbidden"


def test_a_group_shared_with_others_identifies_nobody(
    broker: Broker, box: Callable[..., Box], group: Callable[..., Group]
) -> None:
    """Containers without a group of their own (``--cgroups=disabled``) lie in their caller's."""
    shell = group("session")
    caller = box("caller", leased=False, unshare=(), group=shell)
    boxes = [box(f"ungrouped-{number}", leased=False, group=shell) for number in range(2)]
    leases = [lease(broker, f"ungrouped-{i}", pid=each.pid) for i, each in enumerate(boxes)]
    assert leases[0]["id"] != leases[1]["id"]
    for own, each in zip(leases, boxes, strict=True):
        assert each.eval("Connection(DEVICE).hello()['lease']['id']") == own["id"]
    assert caller.code(HELLO) == "no_lease", "the shell that started them is neither"
    anchors = {found["anchor"].partition(":")[0] for found in broker.leases()}
    assert anchors == {"pidns"}


def test_without_a_group_and_a_pid_namespace_of_its_own_there_is_no_lease(
    broker: Broker, box: Callable[..., Box], group: Callable[..., Group]
) -> None:
    shell = group("session")
    box("caller", leased=False, unshare=(), group=shell)
    on_host = box("ungrouped-on-host", leased=False, unshare=(), group=shell)
    with pytest.raises(QuantainerError) as caught:
        lease(broker, "ungrouped-on-host", pid=on_host.pid)
    assert caught.value.code == "bad_request"
    assert "neither a control group nor a pid namespace of its own" in caught.value.message
    assert on_host.code(HELLO) == "no_lease"


def test_a_pid_namespace_of_two_containers_identifies_neither(
    broker: Broker, box: Callable[..., Box]
) -> None:
    """``--pid container:…`` together with ``--cgroups=disabled``."""
    first = box("namespace-owner")
    own = first.eval("Connection(DEVICE).hello()['lease']['id']")
    first("import subprocess; child = subprocess.Popen(['sleep', '600'])")
    children = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
    with pytest.raises(QuantainerError) as caught:
        lease(broker, "namespace-guest", pid=int(children[0]))
    assert caught.value.code == "bad_request"
    assert "pid namespace it shares" in caught.value.message
    assert first.eval("Connection(DEVICE).hello()['lease']['id']") == own, "it is undisturbed"


def test_a_connection_ends_with_its_lease(broker: Broker, box: Callable[..., Box]) -> None:
    ended = box("ended")
    ended(f"held = dial(DEVICE); assert ask(held, {HELLO!r})['ok']")
    with operator(broker) as channel:
        channel.round_trip("lease.close", {"container": "ended"}, None, 30)
    assert ended.eval("held.recv(10) == b''")
    assert ended.code(HELLO) == "no_lease"


def test_the_same_container_name_opens_nothing_of_the_others(
    broker: Broker, box: Callable[..., Box]
) -> None:
    """Names are an engine's words: a second container of that name is another tenant's process."""
    first = box("twin", fields={"tenant": "first"})
    job = first.eval("Connection(DEVICE).submit(BELL, shots=3).id")
    second = box("twin", fields={"tenant": "second"})
    with pytest.raises(BoxError) as caught:
        second(f"Connection(DEVICE).result({job!r})")
    assert caught.value.code == "unknown_job"
    assert first.eval("Connection(DEVICE).hello()['lease']['tenant']") == "first"


# A broker of an ordinary user


def test_a_rootless_container_in_the_hosts_pid_namespace_is_no_engine(
    user_broker: Broker,
) -> None:
    """Hooks of a rootless engine may open leases; its containers, which look alike, may not."""
    box = Box(user_broker, user=65534, unshare=())
    try:
        box(
            f"libc = ctypes.CDLL(None); libc.prctl({_PRCTL_DUMPABLE}, 1, 0, 0, 0)\n"
            f"assert libc.unshare({_NEW_USER | _NEW_MOUNT}) == 0\n"
            "open('/proc/self/uid_map', 'w').write('0 65534 1')"
        )
        assert box.code(HELLO, "HOST") == "ok"  # a hook: the engine's namespaces, the host's files
        box(f"os.chroot({str(user_broker.home)!r}); os.chdir('/')")
        assert box.code(HELLO, "'/run/broker.sock'") == "forbidden"
    finally:
        box.stop()
