"""What the Python clients share: one line a check, and data of every type."""
import datetime as dt
import os
import sys
import traceback
import uuid
from decimal import Decimal

URL = os.environ["DATABASE_URL"]

# A column for each type: name, type, a value as Python has it.
VALUES = [
    ("b", "boolean", True),
    ("s", "smallint", -7),
    ("i", "integer", 123456),
    ("l", "bigint", 2**40),
    ("r", "real", 1.5),
    ("d", "double precision", 0.1),
    ("n", "numeric(12,3)", Decimal("1234.500")),
    ("t", "text", "häuser | \\ ' \" \n line"),
    ("v", "varchar(10)", "short"),
    ("y", "bytea", b"\x00\xff\\x"),
    ("da", "date", dt.date(2024, 2, 29)),
    ("ts", "timestamp", dt.datetime(2024, 2, 29, 12, 30, 0, 125000)),
    ("tz", "timestamptz", dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.timezone.utc)),
    ("u", "uuid", uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
]
CREATE_TYPES = f"CREATE TABLE {{}} (id int PRIMARY KEY, {', '.join(f'{name} {ty}' for name, ty, _ in VALUES)})"

failed = 0


def check(name):
    """Runs the function at once and says what came of it."""
    def run(function):
        global failed
        try:
            function()
            print(f"ok {name}", flush=True)
        except Exception as error:  # A check fails for whatever reason.
            failed += 1
            where = traceback.extract_tb(error.__traceback__)
            line = next((frame.lineno for frame in reversed(where) if frame.filename.endswith(sys.argv[0])), "?")
            print(f"not ok {name}: line {line}: {type(error).__name__}: {str(error).strip()}".replace("\n", " / "),
                  flush=True)
        return function
    return run


def finish():
    sys.exit(1 if failed else 0)
