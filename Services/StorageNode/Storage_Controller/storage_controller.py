"""Starts a storage node: `python3 Services/StorageNode/Storage_Controller/storage_controller.py [-n NAME] [-v] [-z]`."""

try:
    from Services.StorageNode.Storage_Adaptor.storage_adaptor import StorageAdaptor
    from Services.fractos import node
except ModuleNotFoundError:
    import pathlib
    import runpy

    runpy.run_path(str(pathlib.Path(__file__).resolve().parents[3] / "Services/fractos/bootstrap.py"))

if __name__ == "__main__":
    raise SystemExit(node.main("storage", create=StorageAdaptor.create))
