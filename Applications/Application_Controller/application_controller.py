"""Starts an application node: `python3 PATH_OF_THIS_FILE [-n NAME] [-v] [-z]`, with `--help` for more."""

try:
    from Applications.Application_Controller.application_adaptor import ApplicationAdaptor
    from Services.fractos import node
except ModuleNotFoundError:
    import pathlib
    import runpy

    runpy.run_path(str(pathlib.Path(__file__).resolve().parents[2] / "Services/fractos/bootstrap.py"))

if __name__ == "__main__":
    raise SystemExit(node.main("application", clients=ApplicationAdaptor()))
