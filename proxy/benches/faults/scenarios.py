"""Scenarios: what is done to a gateway under load, and what must come of it.

Each is given a `World` and returns its load's tally and a list of what is amiss; an empty list is a pass. What is
counted the same for all of them (doubled POSTs, commits, attempts) is in `run`.
"""

import asyncio
import contextlib
import random
import signal
import socket

from load import Load
from world import free_port

RETRY = 'retry: { attempts: 3, "on": [connect_failure, reset], budget: 50% }'
SCENARIOS = {}


def scenario(name, target):
    def register(function):
        SCENARIOS[name] = (target, function)
        return function

    return register


def only(tally, *allowed):
    """What failed otherwise than it may."""
    other = {what: count for what, count in tally.failures.items() if what not in allowed}
    return [f"failed: {other}"] if other else []


@scenario("S1 kill -9 of one of three backends", "no GET fails; POSTs in flight there are 502; none is executed twice")
async def killed(world):
    gateway = world.start(RETRY)
    async with Load(gateway.port) as load:
        await load.wait_for(2000)
        world.stable[0].kill()
        await load.wait_for(4000)
        world.stable[0].again()
        await load.wait_for(2000)
    posts = load.tally.failures["502 POST"]
    return load.tally, only(load.tally, "502 POST") + ([f"{posts} POSTs of 200 clients"] if posts > 200 else [])


@scenario("S2 kill -9 of the hot-fix, fallback: stable", "no request fails")
async def hot_fix_killed(world):
    gateway = world.start()
    async with Load(gateway.port, mark_every=4) as load:
        await load.wait_for(2000)
        world.fix.kill()
        await load.wait_for(4000)
    found = only(load.tally, "502 POST")
    return load.tally, found + ([] if load.tally.backends["fix"] else ["the hot-fix served nothing before"])


@scenario("S2 kill -9 of the hot-fix, fallback: fail", "marked requests are 503 or 502, never stable's; no other fails")
async def hot_fix_killed_closed(world):
    gateway = world.start("fallback: fail")
    world.fix.kill()
    world.fix.child.wait()
    async with Load(gateway.port, mark_every=4) as load:
        await load.wait_for(4000)
    marked = load.tally.sent // 4
    refused = load.tally.failures["503 GET"] + load.tally.failures["503 POST"]
    short = [] if abs(refused - marked) <= 2 else [f"{refused} of {marked} marked requests were refused"]
    return load.tally, only(load.tally, "503 GET", "503 POST") + short


@scenario("S3 a backend freezes", "what waits for it is 504; it is left out, then others are served as ever")
async def frozen(world):
    gateway = world.start("outlier_ejection: { consecutive_failures: 3, base: 60s }")
    async with Load(gateway.port) as load:
        await load.wait_for(2000)
        world.stable[0].kill(signal.SIGSTOP)
        while not gateway.metrics()["patchgate_endpoint_ejected"]:
            await load.wait_for(100)
        failed = load.tally.failed
        await load.turn_over()
        waited = load.tally.failed
        await load.wait_for(4000)
        after = load.tally.failed - waited
        world.stable[0].kill(signal.SIGCONT)
    found = only(load.tally, "504 GET", "504 POST")
    # Each client can be waiting for it once when it freezes, and once more until it is left out.
    return load.tally, found + ([f"{after} failed once it was left out, {failed} before"] if after else [])


@scenario("S4 100 reloads", "no request fails; no descriptor is left over; RSS grows by less than 10 MiB")
async def reloads(world):
    gateway = world.start()
    async with Load(gateway.port) as load:
        await load.wait_for(1000)
        before, descriptors = gateway.rss(), gateway.descriptors()
        for nth in range(100):
            endpoints = [backend.port for backend in (world.stable if nth % 2 else world.stable[:2])]
            revision = gateway.metrics()["patchgate_snapshot_revision"]
            gateway.write(world.config(endpoints=endpoints, more=f"telemetry: {{ service_name: r{nth} }}"))
            while gateway.metrics()["patchgate_snapshot_revision"] == revision:
                await asyncio.sleep(0.02)
            await load.wait_for(20)
        grown, more = gateway.rss() - before, gateway.descriptors() - descriptors
    found = [f"RSS grew by {grown:.0f} MiB"] if grown > 10 else []
    return load.tally, only(load.tally) + found + ([f"{more} descriptors more"] if more > 450 else [])


@scenario("S5 1,000 torn configurations", "no request fails; the one in force serves on")
async def torn(world):
    gateway = world.start()
    good = world.config()
    async with Load(gateway.port, clients=50) as load:
        await load.wait_for(500)
        for _ in range(1000):
            gateway.write(good[: random.randrange(1, len(good) - 60)])
            gateway.kill(signal.SIGHUP)
            await load.wait_for(2)
        gateway.write(good + "\n# whole\n")
        gateway.kill(signal.SIGHUP)
        for _ in range(200):
            if gateway.metrics()["patchgate_config_last_reload_successful"] == 1:
                break
            await asyncio.sleep(0.05)
    healed = gateway.metrics()["patchgate_config_last_reload_successful"] == 1
    return load.tally, only(load.tally) + ([] if healed else ["the whole file is not in force"])


@scenario("S6 SIGTERM", "no request fails; new connections are refused; exit 0")
async def terminated(world):
    gateway = world.start()
    load = Load(gateway.port)
    async with load:
        await load.wait_for(3000)
        load.ending = True
        gateway.kill(signal.SIGTERM)
        for task in load.tasks:
            await task
    code = await asyncio.to_thread(gateway.child.wait, 30)
    found = [f"exit {code}"] if code else []
    return load.tally, only(load.tally) + found + ([] if load.tally.turned_away == load.clients else ["not all were told"])


@scenario("S9 200 slow readers of 4 MiB", "no other request fails; RSS grows by less than 128 KiB each")
async def slow_readers(world):
    gateway = world.start(listener=", limits: { body_idle_timeout: 3s }")
    async with Load(gateway.port, clients=50) as load:
        await load.wait_for(1000)
        before, slow = gateway.rss(), []
        for _ in range(200):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", gateway.port))
            client.sendall(b"GET /?id=0&size=4194304 HTTP/1.1\r\nhost: slow\r\n\r\n")
            slow.append(client)
            # Bodies cost a backend more than the gateway.
            await asyncio.sleep(0.02)
        await load.wait_for(2000)
        grown = gateway.rss() - before
        for _ in range(600):
            metrics = gateway.metrics()
            opened, closed = (metrics[f"patchgate_connections_{what}_total"] for what in ("opened", "closed"))
            if opened - closed <= load.clients:
                break
            await asyncio.sleep(0.05)
        cut = sum(1 for client in slow if is_cut(client))
    for client in slow:
        client.close()
    found = [f"RSS grew by {grown:.0f} MiB"] if grown > 200 / 8 else []
    return load.tally, only(load.tally) + found + ([] if cut == 200 else [f"{cut} of 200 were cut off"])


def is_cut(client):
    """Whether the connection ends before the whole answer came."""
    client.settimeout(10)
    got = 0
    try:
        while chunk := client.recv(65536):
            got += len(chunk)
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return got < 4194304


@scenario("S16 descriptors run out", "no connection that is open fails; less than 20 % of a core; heals in 2 s")
async def descriptors(world):
    gateway = world.start("", limit=256)
    async with Load(gateway.port, clients=20) as load:
        await load.wait_for(500)
        held = []
        for _ in range(300):
            client = socket.socket()
            client.settimeout(0.2)
            with contextlib.suppress(OSError):
                client.connect(("127.0.0.1", gateway.port))
            held.append(client)
        await load.wait_for(1000)
        load.pause = 1.0
        await asyncio.sleep(1.5)
        before = gateway.cpu()
        await asyncio.sleep(3)
        spun = (gateway.cpu() - before) / 3
        for client in held:
            client.close()
        load.pause = 0.0
        await asyncio.sleep(2)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"GET /?id=0 HTTP/1.1\r\nhost: test\r\n\r\n")
        healed = await asyncio.wait_for(reader.read(12), 10)
        writer.close()
    found = [f"{spun:.0%} of a core"] if spun > 0.2 else []
    return load.tally, only(load.tally) + found + ([] if healed == b"HTTP/1.1 200" else [f"then {healed}"])


@scenario("S17 an endpoint takes no connection and refuses none", "no request fails")
async def black_hole(world):
    hole = socket.socket()
    hole.bind(("127.0.0.1", 0))
    hole.listen(0)
    # A queue that is full: what comes next is dropped.
    fill = [socket.socket() for _ in range(2)]
    for client in fill:
        client.setblocking(False)
        client.connect_ex(hole.getsockname())
    gateway = world.start(RETRY, endpoints=[hole.getsockname()[1], world.stable[0].port, world.stable[1].port])
    async with Load(gateway.port) as load:
        await load.wait_for(4000)
    for client in [*fill, hole]:
        client.close()
    return load.tally, only(load.tally)


@scenario("S19 all backends are ten times slower", "no more than 1.25 attempts a request; as before once they are not")
async def slower(world):
    service = 'retry: { attempts: 3, "on": [connect_failure, reset, "503"], budget: 20% }\n    hedge: { budget: 0.05 }'
    gateway = world.start(service)
    async with Load(gateway.port, clients=100, post_every=0) as load:
        for backend in world.stable:
            backend.control(delay=10)
        await load.wait_for(6000)
        begun = gateway.metrics()
        for backend in world.stable:
            backend.control(delay=100)
        await load.wait_for(3000)
        ended = gateway.metrics()
        for backend in world.stable:
            backend.control(delay=10)
        await load.wait_for(3000)
    attempts = ended["patchgate_attempts_started_total"] - begun["patchgate_attempts_started_total"]
    requests = ended["patchgate_requests_finished_total"] - begun["patchgate_requests_finished_total"]
    ratio = attempts / requests
    return load.tally, only(load.tally) + ([f"{ratio:.2f} attempts a request"] if ratio > 1.25 else [])


@scenario("S20 a mirror that is dead, slow, or speaks no HTTP", "no request fails; RSS grows by less than 20 MiB")
async def mirrors(world):
    mirror = world.stable[2]
    service = f'mirror: {{ endpoints: ["127.0.0.1:{mirror.port}"], timeout: 2s }}'
    gateway = world.start(service, endpoints=[backend.port for backend in world.stable[:2]])
    async with Load(gateway.port) as load:
        await load.wait_for(2000)
        before = gateway.rss()
        for wrong in ({"garbage": 1}, {"garbage": 0, "delay": 1500}):
            mirror.control(**wrong)
            await load.wait_for(3000)
        mirror.kill()
        await load.wait_for(3000)
        grown = gateway.rss() - before
    found = [f"RSS grew by {grown:.0f} MiB"] if grown > 20 else []
    if load.tally.backends[mirror.name]:
        found.append("a mirror's answer came to a client")
    return load.tally, only(load.tally) + found


@scenario("S21 hedged GETs of backends that stall", "one answer each, of one backend; no request fails")
async def hedged(world):
    gateway = world.start("hedge: { after: 50ms, budget: 0.5 }")
    for backend in world.stable:
        backend.control(stall=50)
    async with Load(gateway.port, clients=100, post_every=0) as load:
        await load.wait_for(10000)
    hedges = gateway.metrics()["patchgate_hedges_total"]
    return load.tally, only(load.tally) + ([] if hedges > 100 else [f"{hedges:.0f} hedges"])


@scenario("the collector is gone", "no request fails; RSS grows by less than 90 MiB; drops are counted")
async def collector_gone(world):
    silent = free_port()
    telemetry = f'telemetry: {{ sampling: {{ default: 1 }}, otlp: {{ endpoint: "http://127.0.0.1:{silent}" }} }}'
    gateway = world.start(more=telemetry)
    async with Load(gateway.port) as load:
        await load.wait_for(1000)
        before = gateway.rss()
        await load.wait_for(10000)
        grown = gateway.rss() - before
    return load.tally, only(load.tally) + ([f"RSS grew by {grown:.0f} MiB"] if grown > 90 else [])


async def chaos(world, seconds, seed):
    """S22: what S1, S3, S4, S5, S9 and S20 do, at random and at once."""
    rng = random.Random(seed)
    service = RETRY + "\n    outlier_ejection: { consecutive_failures: 3, base: 2s }"
    gateway = world.start(service, listener=", limits: { body_idle_timeout: 2s }")
    frozen, slow, sizes = set(), [], []
    until = asyncio.get_running_loop().time() + seconds
    async with Load(gateway.port, clients=60, mark_every=7, pause=0.005) as load:
        await load.wait_for(500)
        while asyncio.get_running_loop().time() < until:
            victim = rng.choice(world.stable)
            match rng.randrange(7):
                case 0 if not frozen:
                    victim.kill()
                    await asyncio.sleep(rng.uniform(0.2, 1))
                    victim.again()
                case 1 if not frozen:
                    victim.kill(signal.SIGSTOP)
                    frozen.add(victim)
                case 2:
                    gateway.write(world.config(service, more=f"telemetry: {{ service_name: r{rng.random()} }}"))
                case 3:
                    gateway.write(world.config(service)[: rng.randrange(1, 400)])
                case 4:
                    client = socket.socket()
                    client.connect(("127.0.0.1", gateway.port))
                    client.sendall(rng.choice([b"GET / HT", b"GET /?id=0&size=4194304 HTTP/1.1\r\nhost: slow\r\n\r\n"]))
                    slow = [*slow[-200:], client]
                case 5 if not frozen:
                    world.fix.kill()
                    await asyncio.sleep(rng.uniform(0.2, 1))
                    world.fix.again()
                case _:
                    for backend in frozen:
                        backend.kill(signal.SIGCONT)
                    frozen.clear()
            sizes.append(gateway.rss())
            await asyncio.sleep(rng.uniform(0.1, 1.5))
        for backend in frozen:
            backend.kill(signal.SIGCONT)
        await load.wait_for(500)
    for client in slow:
        client.close()
    # A body whose backend was killed in the middle of it breaks off, and its client sees that.
    allowed = ["502 POST", "502 GET", "504 GET", "504 POST", "503 GET", "503 POST", "IncompleteReadError"]
    found = only(load.tally, *allowed)
    middle = sizes[len(sizes) // 2] if sizes else 0
    if sizes and sizes[-1] > middle + 20:
        found.append(f"RSS grew from {middle:.0f} to {sizes[-1]:.0f} MiB in the second half")
    return load.tally, found
