"""A gateway and its backends as processes, and what they tell."""

import asyncio
import collections
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


class Process:
    def __init__(self, command, **options):
        self.child = subprocess.Popen(command, **options)

    def kill(self, how=signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            self.child.send_signal(how)

    def end(self):
        if self.child.poll() is None:
            self.kill(signal.SIGCONT)
            self.kill()
        self.child.wait()


class Backend(Process):
    def __init__(self, name, folder):
        self.name, self.port, self.log = name, free_port(), folder / f"{name}.log"
        self.begin()

    def begin(self):
        super().__init__([sys.executable, HERE / "backend.py", self.name, str(self.port), str(self.log)])
        wait_for_port(self.port, self.child)

    def again(self):
        """The same backend once more, after it was killed."""
        self.child.wait()
        self.begin()

    def control(self, **wrong):
        query = "&".join(f"{name}={value}" for name, value in wrong.items())
        urllib.request.urlopen(f"http://127.0.0.1:{self.port}/control?{query}", timeout=10).read()

    def executed(self):
        """How often each POST was executed."""
        text = self.log.read_text() if self.log.exists() else ""
        return collections.Counter(int(line) for line in text.split())


class Gateway(Process):
    def __init__(self, binary, config, folder, limit=None):
        self.port, self.health = free_port(), free_port()
        self.file, self.output = folder / "gate.yaml", folder / "gate.log"
        self.write(config)
        limited = ["prlimit", f"--nofile={limit}:{limit}"] if limit else []
        with self.output.open("ab") as log:
            super().__init__([*limited, binary, "run", "-c", self.file], stderr=log, stdout=log, cwd=folder)
        wait_for_port(self.port, self.child)

    def write(self, config):
        text = config.replace("$PORT", str(self.port)).replace("$HEALTH", str(self.health))
        fresh = self.file.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(self.file)

    def metrics(self):
        """Sums over all labels."""
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.health}/metrics", timeout=10).read().decode()
        sums = collections.Counter()
        for line in text.splitlines():
            if not line.startswith("#"):
                # What follows a `#` is an exemplar.
                name, value = line.split(" # ")[0].rsplit(" ", 1)
                sums[name.partition("{")[0]] += float(value)
        return sums

    def rss(self):
        """MiB."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))

    def cpu(self):
        """Seconds so far."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for_port(port, child):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise SystemExit(f"a process ended at once with {child.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise SystemExit(f"nobody listens on port {port}")


class World:
    """Backends `stable1` to `stable3` and `fix`, and a gateway before them; gone when it is left."""

    def __init__(self, binary):
        self.binary, self.folder = binary, tempfile.TemporaryDirectory(prefix="faults-")
        self.path = Path(self.folder.name)
        self.stable = [Backend(f"stable{nth}", self.path) for nth in (1, 2, 3)]
        self.fix = Backend("fix", self.path)
        self.gateway = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in [*self.stable, self.fix, self.gateway]:
            if process:
                process.end()
        self.folder.cleanup()

    def config(self, service="", more="", endpoints=None, listener=""):
        endpoints = endpoints or [backend.port for backend in self.stable]
        listed = ", ".join(f'"127.0.0.1:{port}"' for port in endpoints)
        return f"""
listeners: [{{ name: web, address: "127.0.0.1:$PORT"{listener} }}]
services:
  - name: shop
    routes: [{{ path_prefix: / }}]
    stable: {{ version: v1, endpoints: [{listed}] }}
    timeouts: {{ connect: 500ms, first_byte: 2s, idle: 5s, total: 10s }}
    {service}
rollouts:
  - {{ name: fix, service: shop, version: v2, group: backend-canary, endpoints: ["127.0.0.1:{self.fix.port}"] }}
health: {{ address: "127.0.0.1:$HEALTH" }}
drain: {{ delay: 200ms, timeout: 10s }}
{more}
"""

    def start(self, *args, limit=None, **options):
        self.gateway = Gateway(self.binary, self.config(*args, **options), self.path, limit)
        return self.gateway

    def doubled(self):
        """POSTs that were executed more than once, by whichever backends."""
        times = collections.Counter()
        for backend in [*self.stable, self.fix]:
            times.update(backend.executed())
        return sum(1 for count in times.values() if count > 1)

    def unexecuted(self, tally):
        """POSTs that were answered and that no backend executed."""
        executed = set()
        for backend in [*self.stable, self.fix]:
            executed.update(backend.executed())
        return len(tally.posts_answered - executed)

    async def settled(self):
        """Metrics once nothing is in flight."""
        for _ in range(200):
            metrics = self.gateway.metrics()
            if metrics["patchgate_commits_total"] == metrics["patchgate_requests_finished_total"]:
                if metrics["patchgate_attempts_started_total"] == metrics["patchgate_attempts_total"]:
                    break
            await asyncio.sleep(0.05)
        return metrics
