"""Starts a storage node: `python3 PATH_OF_THIS_FILE [-n NAME] [-v] [-z]`, with `--help` for more."""

try:
    from Services.fractos import node
    from Services.StorageNode.Storage_Adaptor.storage_adaptor import StorageAdaptor
except ModuleNotFoundError:
    import pathlib
    import runpy

    runpy.run_path(str(pathlib.Path(__file__).resolve().parents[3] / "Services/fractos/bootstrap.py"))

if __name__ == "__main__":
    raise SystemExit(node.main("storage", create=StorageAdaptor.create))
