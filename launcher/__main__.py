"""``python -m launcher``: the command line. ``./tambour`` ends here once its environment stands."""

import sys

from launcher.faults import Fault
from launcher.main import app


def main() -> int:
    """Run a command. 0 done, 1 could not (said on stderr), 2 not understood; commands say more in their help."""
    try:
        app(prog_name="tambour", standalone_mode=True)
    except Fault as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
