"""Helps a script that was started with a Python that lacks the project's packages.

Entry points run this file by its path when their imports fail, so it uses the standard library alone. It starts the script
again with the project's `.venv`, or says what to type. A module of the project itself that is missing is a defect and stays
visible.
"""

import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ENVIRONMENT = REPOSITORY / ".venv"
OURS = ("Services.", "protos.", "Applications.")  # without the dot: the last line of requirements.txt was not installed
RESTARTED = "MOCKDC_RESTARTED"  # set for the second attempt, so that a broken .venv cannot make a loop


def restart_in_environment() -> None:
    """Replace this process by the same script under `.venv/bin/python`.

    Raises the import error being handled if it is about a module of the project. Exits with status 1, saying what to type, if
    there is no `.venv` or a package is missing in it.
    """
    error = sys.exc_info()[1]
    python = ENVIRONMENT / "bin" / "python"
    inside = Path(sys.prefix).resolve() == ENVIRONMENT.resolve() or os.environ.get(RESTARTED) == str(os.getpid())
    if python.exists() and not inside:
        sys.stdout.flush()
        os.environ[RESTARTED] = str(os.getpid())  # exec keeps the process id, children have another
        script = str(sys.modules["__main__"].__file__)  # runpy has put this file's path in sys.argv[0]
        os.execv(str(python), [str(python), script, *sys.argv[1:]])
    if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith(OURS):
        raise error
    if inside:
        print(
            f"error: the environment {ENVIRONMENT} is incomplete: {error}\n"
            f"  Type {python} -m pip install -r {REPOSITORY / 'requirements.txt'}\n"
            f"  or delete {ENVIRONMENT} and type `make demo`, which makes it anew.",
            file=sys.stderr,
        )
    else:
        print(
            f"error: this Python ({sys.executable}) lacks a package: {error}\n"
            f"  In {REPOSITORY} type `make demo`, which makes .venv and runs the demonstration, or\n"
            "  python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
            file=sys.stderr,
        )
    sys.exit(1)


if __name__ == "<run_path>":  # the name that runpy gives
    restart_in_environment()
