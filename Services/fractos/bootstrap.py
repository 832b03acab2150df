"""Helps a script that was started with a Python that lacks the project's packages.

Entry points run this file by its path when their imports fail, so it uses the standard library alone. It starts the script
again with the project's `.venv`, or says what to type. An import that fails within `.venv` is a defect and stays visible.
"""

import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ENVIRONMENT = REPOSITORY / ".venv"
RESTARTED = "MOCKDC_RESTARTED"  # set for the second attempt, so that a broken .venv cannot make a loop


def restart_in_environment() -> None:
    """Replace this process by the same script under `.venv/bin/python`.

    Raises the import error being handled if that has been done already, and exits with status 1 if there is no `.venv`.
    """
    error = sys.exc_info()[1]
    python = ENVIRONMENT / "bin" / "python"
    inside = Path(sys.prefix).resolve() == ENVIRONMENT.resolve() or os.environ.get(RESTARTED) == str(os.getpid())
    if inside and error is not None:
        raise error
    if python.exists():
        sys.stdout.flush()
        os.environ[RESTARTED] = str(os.getpid())  # exec keeps the process id, children have another
        script = str(sys.modules["__main__"].__file__)  # runpy has put this file's path in sys.argv[0]
        os.execv(str(python), [str(python), script, *sys.argv[1:]])
    print(
        f"error: this Python ({sys.executable}) lacks a package: {error}\n"
        f"  In {REPOSITORY} type `make demo`, which makes .venv and runs the demonstration, or\n"
        "  python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
        file=sys.stderr,
    )
    sys.exit(1)


if __name__ == "<run_path>":  # the name that runpy gives
    restart_in_environment()
