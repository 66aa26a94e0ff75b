"""The real parts: `onceward dev` (a redis-server, the sandbox, the sidecar), load, a browser.

Everything that is started here is ended here, by its own process id.
"""

import asyncio
import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import threading
import time

ONCEWARD = os.environ.get("ONCEWARD", "target/debug/onceward")
PATIENCE = 30.0


def until(what, holds, patience=PATIENCE):
    """Waits until a condition holds, and returns what it returned."""
    deadline = time.monotonic() + patience
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"it never came to pass that {what}")
        time.sleep(0.05)


class Onceward:
    """`onceward dev` with these variables, named without their prefix."""

    def __init__(self, **variables):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ONCEWARD_")}
        given = {"LISTEN": "127.0.0.1:0", "ADMIN_LISTEN": "127.0.0.1:0", "LOG": "warn"} | variables
        env = kept | {f"ONCEWARD_{name}": value for name, value in given.items()}
        self.child = subprocess.Popen(
            [ONCEWARD, "dev"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.log = []
        threading.Thread(target=self._listen, args=(self.child.stderr,), daemon=True).start()
        self.ready = None
        for line in self.child.stdout:
            if line.startswith("{") and json.loads(line).get("dev") == "ready":
                self.ready = json.loads(line)
                break
        if self.ready is None:
            raise SystemExit("onceward dev did not start:\n" + "".join(self.log))
        threading.Thread(target=self._listen, args=(self.child.stdout,), daemon=True).start()
        self.url, self.admin = self.ready["url"], self.ready["admin"]
        self.token = variables.get("ADMIN_TOKEN")

    def _listen(self, stream):
        for line in stream:
            self.log.append(line)

    def pay(self, key, code=None, path="/order/pay", name="orderId", timeout=10, amount="9.90"):
        """Sends a payment; the status, or None where no answer came in time."""
        body = {name: key, "amount": amount} | ({"authCode": code} if code else {})
        if name != "orderId":
            body["orderId"] = key
        host = self.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=timeout)
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            return connection.getresponse().status
        except (TimeoutError, http.client.HTTPException, OSError):
            return None
        finally:
            connection.close()

    def ask(self, path, method="GET", body=None):
        connection = http.client.HTTPConnection(self.admin.removeprefix("http://"), timeout=30)
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text.startswith((b"{", b"[")) else text.decode()

    def state(self, route, key):
        status, order = self.ask(f"/admin/orders/{route}/{key}")
        return order.get("state") if status == 200 else None

    def cpu(self):
        """Seconds of CPU the sidecar used so far."""
        with open(f"/proc/{self.ready['sidecar_pid']}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def commands(self):
        """Redis commands the sidecar sent so far, by name."""
        _, page = self.ask("/metrics")
        found = {}
        for line in page.splitlines():
            if line.startswith("onceward_redis_duration_seconds_count{"):
                labels, value = line.rsplit(" ", 1)
                found[labels.split('command="')[1].split('"')[0]] = int(float(value))
        return found

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(20)
        self.child.kill()
        self.child.wait()


class Load:
    """Payments at a steady rate from a thread. Of those that are no `new` orders, nearly all are
    duplicates, a few of them with another amount."""

    def __init__(self, onceward, rate, new=0.3, prefix="load", connections=16):
        self.new, self.orders = new, 0
        host, port = onceward.url.removeprefix("http://").rsplit(":", 1)
        self.address, self.rate, self.prefix = (host, int(port)), rate, prefix
        self.connections, self.answered, self.over = connections, 0, False
        self.thread = threading.Thread(target=lambda: asyncio.run(self._all()), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join(20)

    async def _all(self):
        queue = asyncio.Queue(maxsize=self.connections * 4)
        workers = [asyncio.create_task(self._one(queue)) for _ in range(self.connections)]
        began, sent = time.monotonic(), 0
        while not self.over:
            while sent < (time.monotonic() - began) * self.rate and not queue.full():
                sent += 1
                dice = random.random()
                if dice < self.new or self.orders == 0:
                    self.orders += 1
                key = self.orders if dice < self.new else random.randint(1, self.orders)
                amount = "1.00" if dice > 0.98 else "9.90"
                body = json.dumps({"orderId": f"{self.prefix}-{key}", "amount": amount,
                                   "authCode": "notify-none"})
                queue.put_nowait(body.encode())
            await asyncio.sleep(0.004)
        for worker in workers:
            worker.cancel()

    async def _one(self, queue):
        reader = writer = None
        while True:
            body = await queue.get()
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection(*self.address)
                writer.write(b"POST /order/pay HTTP/1.1\r\nHost: load\r\nContent-Type: application/json"
                             b"\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line[15:]) for line in head.lower().split(b"\r\n")
                              if line.startswith(b"content-length:"))
                await reader.readexactly(length)
                self.answered += 1
            except (OSError, asyncio.IncompleteReadError, StopIteration):
                writer = None
