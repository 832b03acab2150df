"""Starts a math node: `python3 PATH_OF_THIS_FILE [-n NAME] [-v] [-z]`, with `--help` for more."""

try:
    from Services.ComputationalNodes.MathCompute.Math_Adaptor.math_adaptor import MathAdaptor
    from Services.fractos import node
except ModuleNotFoundError:
    import pathlib
    import runpy

    runpy.run_path(str(pathlib.Path(__file__).resolve().parents[4] / "Services/fractos/bootstrap.py"))

if __name__ == "__main__":
    raise SystemExit(node.main("math", create=MathAdaptor.create))
