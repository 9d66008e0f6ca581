"""The window's acceptance test: a virtual display, a window manager, mouse and keyboard.

  acceptance_test.py [--times] SHARDSCOPE_GUI SHARDSCOPE SOURCE_DIR PICTURES [NUMBER]...

Every check prints its figures; docs/gui.md lists them. Pictures are kept. A target of time that is missed is
printed, and fails its check with --times. Exit code 77: a tool is missing.
"""

import sys
import traceback

import checks_charts  # noqa: F401 (each module adds its checks)
import checks_editing  # noqa: F401
import checks_files  # noqa: F401
import window as gui
from tester import CHECKS, TIMES, Tester

ATTEMPTS = 3

# In the order of their numbers.
CHECKS.sort(key=lambda function: function.__name__)


def passes(function, name, tester):
    """Whether a check holds, and prints what it found. A failure is looked at twice more before it counts, for
    other programs may disturb it; every attempt is printed."""
    for attempt in range(ATTEMPTS):
        TIMES.take_missed()
        try:
            print(f"ok      {name}: {function(tester)}", flush=True)
            for missed in TIMES.take_missed():
                print(f"        slow: {missed}", flush=True)
            return True
        except Exception as error:  # a check that fails does not keep the others from running
            last = attempt + 1 == ATTEMPTS
            print(f"{'FAILED ' if last else 'again  '} {name}: {error}", flush=True)
            if not isinstance(error, AssertionError) or not str(error):
                traceback.print_exc(file=sys.stdout)
    return False


def main(arguments):
    missing = gui.missing_tools()
    if missing:
        print(f"skipped: {', '.join(missing)} not installed (scripts/dependencies.txt)")
        return 77
    TIMES.binding = "--times" in arguments
    arguments = [a for a in arguments if a != "--times"]
    tester = Tester(*arguments[:4])
    numbers = arguments[4:]
    failed = 0
    try:
        for function in CHECKS:
            name = function.__name__.removeprefix("check_")
            if numbers and not any(n in name.split("_") for n in numbers):
                continue
            failed += not passes(function, name, tester)
    finally:
        tester.display.close()
    print(f"{failed} failed; pictures in {tester.pictures}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
