"""Taking everything: connections, processes, patience and memory of the broker."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from engine.broker import Broker
from isolation.box import Box, descriptors, lease, operator, sockets
from programs import dense

HELLO = {"op": "hello"}


def latency(box: Box) -> float:
    """Return how long a caller with a lease waits for an answer on a new connection."""
    started = time.monotonic()
    assert box.code(HELLO) == "ok"
    return time.monotonic() - started


def resident(broker: Broker) -> int:
    """Return the broker's private memory in bytes."""
    assert broker.process is not None
    status = Path(f"/proc/{broker.process.pid}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024


FLOOD = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
held = []
for _ in range({count}):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(DEVICE)
    held.append(sock)
answer = len(held)
"""


def test_connections_without_a_lease_crowd_out_nobody(
    broker: Broker, box: Callable[..., Box]
) -> None:
    """More than the broker holds in all, each idle: the callers that it serves do not notice."""
    tenant, stranger = box("crowded"), box("crowd", leased=False)
    tenant(f"kept = dial(DEVICE); ask(kept, {HELLO!r})")
    before = descriptors(broker)
    assert stranger(FLOOD.format(count=9000)) == 9000
    assert latency(tenant) < 5
    assert tenant.eval(f"code_of(ask(kept, {HELLO!r}))") == "ok"
    assert descriptors(broker) < before + 600
    assert stranger.code(HELLO) == "no_lease"  # and is still told why


def test_a_lease_cannot_take_all_connections(broker: Broker, box: Callable[..., Box]) -> None:
    tenant, greedy = box("modest"), box("greedy")
    before = descriptors(broker)
    assert greedy(FLOOD.format(count=9000)) == 9000
    assert tenant.eval("Connection(DEVICE).hello()['lease']['tenant']") == "modest"
    assert latency(tenant) < 5
    assert descriptors(broker) < before + 800
    assert greedy.code(HELLO) == "queue_full"


FORKS = """
shared = [dial(DEVICE) for _ in range(8)]
children = []
for number in range(400):
    child = os.fork()
    if child == 0:
        for sock in shared:
            sock.send(b'{"v":1,"id":1,"op":"hello"}')
        time.sleep(60)
        os._exit(0)
    children.append(child)
    for sock in shared:
        sock.recv(65536)
answer = len(children)
"""


def test_a_crowd_of_processes_on_few_connections_is_bounded(
    broker: Broker, box: Callable[..., Box]
) -> None:
    """Each sender is held by a descriptor of the broker; there are not more than some."""
    tenant, forker = box("beside-forks"), box("forks")
    before = descriptors(broker)
    assert forker(FORKS) == 400
    assert descriptors(broker) < before + 8 * 64 + 50
    assert latency(tenant) < 5
    assert forker("[os.kill(child, 9) for child in children]; answer = True")
    deadline = time.monotonic() + 10
    while descriptors(broker) > before + 40 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert descriptors(broker) <= before + 40


def test_replies_that_nobody_reads_do_not_pile_up(broker: Broker, box: Callable[..., Box]) -> None:
    """The broker stops reading from who does not read, and keeps what it owes small."""
    tenant, slow = box("reader"), box("slow-reader")
    before = resident(broker)
    sent = slow(
        "socks = [dial(DEVICE) for _ in range(30)]; sent = 0\n"
        "for sock in socks:\n"
        "    sock.settimeout(0.05)\n"
        "    try:\n"
        "        for number in range(3000):\n"
        '            sock.send(b\'{"v":1,"id":1,"op":"backends"}\'); sent += 1\n'
        "    except (TimeoutError, BlockingIOError):\n"
        "        pass\n"
        "answer = sent"
    )
    assert sent < 30 * 3000
    assert latency(tenant) < 5
    assert resident(broker) - before < 100 * 1024**2


def test_who_never_reads_is_let_go(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(workers="1", slow_reader_timeout="0.5")
    box = Box(broker)
    try:
        with operator(broker) as channel:
            request = {"container": "deaf", "pid": box.pid, "anchor": "pidns"}
            channel.round_trip("lease.open", request, None, 30)
        ended = box(
            "sock = dial(DEVICE); sock.settimeout(0.05)\n"
            "try:\n"
            '    while True: sock.send(b\'{"v":1,"id":1,"op":"backends"}\')\n'
            "except (TimeoutError, BlockingIOError): pass\n"
            "time.sleep(2)\n"
            "try:\n"
            "    sock.send(b'{}'); answer = False\n"
            "except (BrokenPipeError, ConnectionResetError): answer = True"
        )
        assert ended is True
    finally:
        box.stop()


def test_half_open_connections_are_closed(broker: Broker, box: Callable[..., Box]) -> None:
    half = box("half-open")
    before = sockets(broker)
    half(
        "socks = [dial(DEVICE) for _ in range(50)]\n"
        "[sock.shutdown(socket.SHUT_WR) for sock in socks]"
    )
    deadline = time.monotonic() + 10
    while sockets(broker) > before + 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sockets(broker) <= before + 4
    half("[sock.close() for sock in socks]; socks = [dial(DEVICE) for _ in range(50)]")
    half("[sock.shutdown(socket.SHUT_RD) for sock in socks]; [ask for sock in socks]")
    assert half.code(HELLO) == "ok"


ABANDON = """
from quantainer_client.payload import Payload

def abandon(rounds, make):
    for _ in range(rounds):
        sock = dial(DEVICE)
        for _ in range(60):
            message, *fds = make()
            message = json.dumps({"v": 1, "id": 1, **message}).encode()
            sock.sendmsg([message], [rights(*fds)] if fds else [])
            [os.close(fd) for fd in fds]
        sock.send(b'{"v":1,"id":2,"op":"hello"}')
        while json.loads(sock.recv(65536))["id"] != 2:
            pass
        sock.close()

def unread(op):
    payload = Payload()
    text = BELL.replace("cx", "h q[0]; " * 2000 + "cx") + "//" + os.urandom(8).hex()
    pub = {"offset": payload.append(text.encode()), "length": len(text)}
    return {"op": op, "pubs": [pub], "shots": 1}, payload.seal()
"""


def test_waits_of_callers_that_have_gone_are_forgotten(
    broker: Broker, box: Callable[..., Box]
) -> None:
    tenant, gone = box("beside-gone"), box("gone")
    job = gone.eval(f"Connection(DEVICE).submit({dense(24, 60)!r}, shots=9, timeout=600).id")
    before = resident(broker)
    gone(ABANDON + f"abandon(400, lambda: [{{'op': 'wait', 'job': {job!r}}}]); answer = True")
    assert resident(broker) - before < 20 * 1024**2
    assert latency(tenant) < 5
    assert gone.code({"op": "cancel", "job": job}) == "ok"


def test_submissions_of_callers_that_have_gone_are_bounded(
    make_broker: Callable[..., Broker],
) -> None:
    """Each holds descriptors until a worker has read it."""
    broker = make_broker(workers="1", lease_queued_jobs="100")
    tenant, gone = Box(broker), Box(broker)
    try:
        for name, each in (("patient", tenant), ("hasty", gone)):
            lease(broker, name, pid=each.pid, anchor="pidns")
        before = descriptors(broker)
        for op in ("estimate", "submit"):
            gone(ABANDON + f"abandon(20, lambda: unread({op!r})); answer = True")
            assert descriptors(broker) < before + 500
            assert latency(tenant) < 5
    finally:
        tenant.stop()
        gone.stop()


def test_signals_do_not_cross_from_a_container(broker: Broker, box: Callable[..., Box]) -> None:
    """Not out of a pid namespace, and not from an ordinary user in the host's."""
    assert broker.process is not None
    workers = Path(f"/proc/{broker.process.pid}/task/{broker.process.pid}/children")
    targets = [broker.process.pid, *map(int, workers.read_text().split())]
    inside, user = box("signals"), box("signals-user", leased=False, unshare=(), user=65534)
    attempt = (
        "answer = []\n"
        f"for target in {targets!r}:\n"
        "    for number in (signal.SIGTERM, signal.SIGSTOP, signal.SIGKILL):\n"
        "        try: os.kill(target, number); answer.append('sent')\n"
        "        except OSError as error: answer.append(type(error).__name__)\n"
    )
    assert set(inside(attempt)) == {"ProcessLookupError"}
    assert set(user(attempt)) == {"PermissionError"}
    assert inside.code(HELLO) == "ok"


def test_a_flood_of_jobs_is_turned_away_and_others_are_served(
    broker: Broker, box: Callable[..., Box]
) -> None:
    limits = {"queued_jobs": 5, "concurrent_jobs": 1}
    flooder, tenant = box("flooder", fields={"limits": limits}), box("beside-flood")
    codes = flooder(
        "connection = Connection(DEVICE); answer = []\n"
        f"heavy = {dense(22, 40)!r}\n"
        "for number in range(40):\n"
        "    try: connection.submit(heavy + f'// {number}', shots=10); answer.append('ok')\n"
        "    except QuantainerError as error: answer.append(error.code)\n"
    )
    assert "queue_full" in codes
    started = time.monotonic()
    counts = tenant.eval("Connection(DEVICE).run(BELL, shots=20).counts()")
    assert sum(counts.values()) == 20
    assert time.monotonic() - started < 30
