"""Race rows: how the writer W writes. All kinds with --full; otherwise one for each row, in turn."""
import re

KINDS = ("direct", "buffered", "mmap")


def pytest_generate_tests(metafunc):
    row = re.fullmatch(r"test_row_(\d+)", metafunc.function.__name__)
    if not row or "how" not in metafunc.fixturenames:
        return
    row = int(row.group(1))
    metafunc.parametrize("how", KINDS if metafunc.config.getoption("--full") else [KINDS[(row - 1) % len(KINDS)]])
