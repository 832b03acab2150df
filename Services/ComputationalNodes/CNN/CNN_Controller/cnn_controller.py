"""Starts a CNN node: `python3 Services/ComputationalNodes/CNN/CNN_Controller/cnn_controller.py [-n NAME] [-v] [-z]`."""

try:
    from Services.ComputationalNodes.CNN.CNN_Adaptor.cnn_adaptor import CnnAdaptor
    from Services.fractos import node
except ModuleNotFoundError:
    import pathlib
    import runpy

    runpy.run_path(str(pathlib.Path(__file__).resolve().parents[4] / "Services/fractos/bootstrap.py"))

if __name__ == "__main__":
    raise SystemExit(node.main("cnn", create=CnnAdaptor.create))
