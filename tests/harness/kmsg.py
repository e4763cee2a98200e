"""Kernel messages: what btrfs says at level warning or above between two moments, about one of our own devices."""
import os
import re


# Said of the form that an image has, not of a fault in it; and what names no device, but never comes without a line that does.
NO_FAULT = re.compile(r"space cache v1 is being deprecated|Transaction aborted")


class KernelLog:
    """Reads /dev/kmsg from now on. Other file systems of the machine are none of our business: messages that name
    another device are ignored."""

    def __init__(self):
        try:
            self.fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
            os.lseek(self.fd, 0, os.SEEK_END)
        except OSError:
            self.fd = None

    def complaints(self, device):
        """New messages of level warning or above that mention BTRFS and @device (or no device at all)."""
        found = []
        while self.fd is not None:
            try:
                record = os.read(self.fd, 8192).decode(errors="replace")
            except BlockingIOError:
                break
            except BrokenPipeError:      # the ring went past us: go on with what is left
                continue
            head, _, text = record.partition(";")
            level = int(head.split(",")[0]) & 7
            if level > 4 or "BTRFS" not in text or NO_FAULT.search(text):
                continue
            named = re.search(r"\(device (\w+)", text) or re.search(r"/dev/(\w+)", text)
            if named is None or named.group(1) == os.path.basename(device):
                found.append(text.split("\n")[0])
        return found

    def close(self):
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
