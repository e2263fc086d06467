"""One line per check, as run.sh counts them: `ok    name — remark` or `FAIL  name — why`."""

import sys
import time

_failures = 0


def check(name):
    """Runs the decorated function at once; what it returns is the remark."""

    def run(action):
        global _failures
        start = time.monotonic()
        try:
            remark = action()
            tail = f" — {remark}" if remark else ""
            print(f"ok    {name}{tail} ({(time.monotonic() - start) * 1000:.0f} ms)", flush=True)
        except Exception as error:  # every failure is a line, and the next check still runs
            _failures += 1
            what = str(error).replace("\n", " ") or repr(error)
            print(f"FAIL  {name} — {type(error).__name__}: {what[:600]}", flush=True)

    return run


def must(fact, otherwise):
    if not fact:
        raise AssertionError(otherwise)


def end():
    sys.exit(1 if _failures else 0)
