"""How the packages of ``src`` hang together: ``python -m tests.support.imports`` prints the counts."""

import ast

import grimp

from tests.support.workspaces import ROOT


def package_imports(graph: grimp.ImportGraph) -> set[tuple[str, str]]:
    """(importing, imported) for every pair of packages of which one imports the other.

    A folder is a package, at any depth, and so is each file at the top of ``src``. Imports for type checking
    count, and so do imports inside functions.
    """
    return {
        (_package(module), _package(imported))
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
        if _package(module) != _package(imported)
    }


def cycles(graph: grimp.ImportGraph) -> list[list[str]]:
    """Groups of modules that import each other in a circle; imports inside functions count."""
    edges = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    return [sorted(group) for group in _components(edges) if len(group) > 1]


def imports_inside_functions() -> dict[str, int]:
    """{file: number of imports of our own modules that are not at its top}."""
    found: dict[str, int] = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        imports = {
            node.lineno
            for function in functions
            for node in ast.walk(function)
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "src"
        }
        if imports:
            found[path.relative_to(ROOT).as_posix()] = len(imports)
    return found


def _package(module: str) -> str:
    parent = module.rpartition(".")[0]
    is_folder = (ROOT / module.replace(".", "/")).is_dir()
    return module if is_folder or parent == "src" else parent


def _components(edges: dict[str, set[str]]) -> list[set[str]]:
    """Strongly connected components (Tarjan, 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in edges[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            cut = stack.index(node)
            found.append(set(stack[cut:]))
            del stack[cut:]

    for node in edges:
        if node not in index:
            visit(node)
    return found


def main() -> None:
    """Print every count."""
    graph = grimp.build_graph("src", exclude_type_checking_imports=True)
    whole = grimp.build_graph("src")
    inside = imports_inside_functions()
    top = [path for path in (ROOT / "src").glob("*.py") if path.is_file()]
    print(f"files at the top of src           {len(top)}")
    print(f"imports between packages          {len(package_imports(whole))}")
    print(f"import cycles                     {len(cycles(graph))}")
    print(f"own imports inside functions      {sum(inside.values())}")
    for file, count in sorted(inside.items(), key=lambda item: -item[1]):
        print(f"    {count:>3} {file}")
    for group in cycles(graph):
        print("cycle:", *group)


if __name__ == "__main__":
    main()
