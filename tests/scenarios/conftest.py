"""Race rows: how the writer W writes: O_DIRECT with parallel writes or without, buffered, mapped. All kinds with --full; otherwise
one for each row, in turn. A row that is not about all of them says which in its KINDS."""
import re

KINDS = ("direct", "buffered", "mmap", "serial")


def pytest_generate_tests(metafunc):
    row = re.fullmatch(r"test_row_(\d+)", metafunc.function.__name__)
    if not row or "how" not in metafunc.fixturenames:
        return
    row = int(row.group(1))
    kinds = getattr(metafunc.module, "KINDS", KINDS)
    metafunc.parametrize("how", kinds if metafunc.config.getoption("--full") else [kinds[(row - 1) % len(kinds)]])
