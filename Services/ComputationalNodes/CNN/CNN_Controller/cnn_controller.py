"""Starts a CNN node: `python3 PATH_OF_THIS_FILE [-n NAME] [-v] [-z]`, with `--help` for more."""

try:
    from Services.ComputationalNodes.CNN.CNN_Adaptor.cnn_adaptor import CnnAdaptor
    from Services.fractos import node
except ModuleNotFoundError:
    import pathlib
    import runpy

    runpy.run_path(str(pathlib.Path(__file__).resolve().parents[4] / "Services/fractos/bootstrap.py"))

if __name__ == "__main__":
    raise SystemExit(node.main("cnn", create=CnnAdaptor.create))
