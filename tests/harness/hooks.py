"""The test socket of a test-hooks build: sync points, faults and guards (one command a line, one reply line)."""
import re
import socket
import threading
import time


class HookError(RuntimeError):
    pass


class Hooks:
    def __init__(self, path, timeout=10):
        self.path = path
        self._lock = threading.Lock()
        self._socket = None
        end = time.monotonic() + timeout
        while True:
            try:
                self._socket = self._connect()
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def _connect(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(30)
        try:
            s.connect(self.path)
        except OSError:
            s.close()
            raise
        self._buffer = b""
        return s

    def command(self, line):
        """Sends one command, returns what follows `ok`."""
        with self._lock:
            self._socket.sendall(line.encode() + b"\n")
            while b"\n" not in self._buffer:
                got = self._socket.recv(65536)
                if not got:
                    raise HookError(f"{line}: the daemon closed the socket")
                self._buffer += got
            reply, _, self._buffer = self._buffer.partition(b"\n")
        word, _, rest = reply.decode().partition(" ")
        if word != "ok":
            raise HookError(f"{line}: {reply.decode()}")
        return rest

    def arm(self, name, count=None, **keys):
        """Parks one thread: the first, or the @count-th, that passes point @name with these keys."""
        words = [f"{k}={v}" for k, v in keys.items()] + ([str(count)] if count else [])
        return self.command(" ".join(["arm", name, *words]))

    def wait(self, name, timeout=8):
        """Until a thread is parked at @name."""
        return self.command(f"wait {name} {timeout}")

    def is_parked(self, name, timeout=1):
        try:
            self.wait(name, timeout)
            return True
        except HookError:
            return False

    def release(self, name="all"):
        return self.command(f"release {name}")

    def fail(self, name, errno_value, count=1):
        """The next @count passes of point @name get this error."""
        return self.command(f"fail {name} {errno_value} {count}")

    def crash(self, name):
        return self.command(f"crash {name}")

    def guard(self, name, on):
        return self.command(f"guard {name} {'on' if on else 'off'}")

    def guards(self):
        return set(re.findall(r"[A-Za-z_][A-Za-z_0-9]*", re.sub(r"=\s*\w+", "", self.command("guards")))) - {"on", "off"}

    def threads(self):
        return self.command("threads")

    def close(self):
        if self._socket:
            self._socket.close()
            self._socket = None
