"""The layers of the source, read from CONTRIBUTING.md, and every import of the source checked against them.

The lines between ```layers and ``` are chains such as `edge: base < manifest, formats < features`. A module or
subpackage may import those before it in its chain; those separated by a comma form one layer and do not import each
other, nor do the chains of one package. The chain `edgequake` orders the packages themselves.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = "edgequake"
PACKAGES = {
    "edge": "edge",
    "train": "train",
    "convert": "convert",
    "benchmarks": "benchmarks",
    "export_c": "export_c",
    "scan": "scan",
    "serve": "serve",
    "src/edgequake": "",
}
_NAME = re.compile(r"edgequake(?:\.\w+)+")
_COMMAND = re.compile(r"(?<=-m )edgequake(?:\.\w+)+")
_GAP = "{}"


@dataclass(frozen=True)
class Import:
    """One import in the source, or a string that stands for one."""

    importer: str  # module, without the leading "edgequake."
    imported: str | None  # likewise; None: a template that no string completes to a module
    line: int
    is_facade: bool = False  # a name taken from the `__init__` of a package that the importer belongs to


def find_modules(root: Path) -> dict[str, Path]:
    """Return the project's modules by name without the leading "edgequake."; the package itself is ""."""
    found = {}
    for folder, package in PACKAGES.items():
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join(part for part in (package, *parts) if part)] = path
    return found


def read_chains(text: str) -> dict[str, list[list[list[str]]]]:
    """Return each package's chains: layers from the lowest to the highest, each a list of names."""
    block = re.search(r"```layers\n(.*?)```", text, re.DOTALL)
    if block is None:
        raise ValueError("CONTRIBUTING.md has no block ```layers")
    chains: dict[str, list[list[list[str]]]] = {}
    for line in filter(None, map(str.strip, block.group(1).splitlines())):
        package, _, chain = line.partition(":")
        layers = [[name.strip() for name in layer.split(",")] for layer in chain.split("<")]
        chains.setdefault(package.strip(), []).append(layers)
    return chains


def imports_of(name: str, path: Path, modules: dict[str, Path]) -> Iterator[Import]:
    """Yield every import of a module: at the top, inside functions, for type checking only, and as a string.

    A string is a module's name, as for `import_module` or in the command of a process, or contains "-m NAME". Where the
    name is a template (an f-string, or a string with "{}" for `format`), every string that completes it to a module
    counts: those of the same file or, where it has none, of the same folder. Docstrings are skipped.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    known = {"__name__": f"{ROOT}.{name}".strip("."), **_string_constants(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            if (node.module or "").partition(".")[0] == ROOT:
                for alias in node.names:
                    imported = _module(f"{node.module}.{alias.name}", modules)
                    own = name != "" and name.startswith(f"{imported}." if imported else "")
                    yield Import(name, imported, node.lineno, own and node.module == f"{ROOT}.{imported}".strip("."))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == ROOT:
                    yield Import(name, _module(alias.name, modules), node.lineno)
        elif isinstance(node, ast.JoinedStr):
            template = "".join(_part(part, known) for part in node.values)
            yield from (Import(name, imported, node.lineno) for imported in _named(template, path, modules))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield from (Import(name, imported, node.lineno) for imported in _named(node.value, path, modules))


def _string_constants(tree: ast.Module) -> dict[str, str]:
    """Return the strings that a module assigns to names at its top."""
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _part(part: ast.expr, known: dict[str, str]) -> str:
    """Return a part of an f-string: its text, the value of a constant, or a gap."""
    if isinstance(part, ast.Constant):
        return str(part.value)
    value = part.value if isinstance(part, ast.FormattedValue) else part
    return known.get(value.id, _GAP) if isinstance(value, ast.Name) else _GAP


def _named(text: str, path: Path, modules: dict[str, Path]) -> Iterator[str | None]:
    """Yield the modules that a string names; None for a template that nothing completes."""
    if _NAME.fullmatch(text):
        yield _module(text, modules)
    elif _GAP in text and re.fullmatch(r"edgequake\.[\w.{}]+", text):
        start, _, end = text.removeprefix(f"{ROOT}.").partition(_GAP)
        parts = (_strings(path), {part for file in path.parent.glob("*.py") for part in _strings(file)})
        yield from next(
            filter(None, ({f"{start}{part}{end}" for part in some} & modules.keys() for some in parts)), {None}
        )
    else:
        yield from (_module(match, modules) for match in _COMMAND.findall(text))


def _strings(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def _module(dotted: str, modules: dict[str, Path]) -> str:
    """Return the module that a dotted name is in, without the leading "edgequake."."""
    name = dotted.removeprefix(ROOT).lstrip(".")
    while name not in modules and name:
        name = name.rpartition(".")[0]
    return name


def violations(root: Path, text: str) -> list[str]:
    """Return a line for every import against the layers, and for every difference between layers and folders."""
    modules, chains = find_modules(root), read_chains(text)
    lines = _differences(modules, chains)
    named = {name: path for name, path in modules.items() if name != ""}  # the facade of all may name any member
    for item in (item for name, path in named.items() for item in imports_of(name, path, modules)):
        where = f"{modules[item.importer]}:{item.line}"
        if item.imported is None:
            lines.append(f"{where}: no string completes the module's name")
        elif item.is_facade:
            lines.append(f"{where}: {item.importer} imports from the __init__ of its own package")
        else:
            lines += [f"{where}: {broken}" for broken in _broken(chains, item.importer, item.imported)]
    return sorted(set(lines))


def _broken(chains: dict[str, list[list[list[str]]]], importer: str, imported: str) -> Iterator[str]:
    """Yield the chains that an import breaks. A package's own `__init__` may import all of its members."""
    if importer == "":  # the package `edgequake` itself, which imports what it offers when that is first used
        return
    for package in chains:
        if all(package == ROOT or module.startswith(f"{package}.") for module in (importer, imported)):
            lower, upper = _member(imported, package), _member(importer, package)
            if lower != upper and not any(_is_below(lower, upper, layers) for layers in chains[package]):
                yield f"{package}: {upper} imports {lower}"


def _is_below(lower: str, upper: str, layers: list[list[str]]) -> bool:
    heights = {name: height for height, layer in enumerate(layers) for name in layer}
    return lower in heights and upper in heights and heights[lower] < heights[upper]


def _member(module: str, package: str) -> str:
    """Return the module or subpackage of `package` that a module belongs to."""
    if package == ROOT:
        return module.partition(".")[0] or "_version"  # the package itself contains only the version
    return module.removeprefix(f"{package}.").partition(".")[0]


def _differences(modules: dict[str, Path], chains: dict[str, list[list[list[str]]]]) -> list[str]:
    lines = []
    for package in chains:
        listed = {name for layers in chains[package] for layer in layers for name in layer}
        present = {_member(name, package) for name in modules if package == ROOT or name.startswith(f"{package}.")}
        lines += [f"{package}: {name} is in no layer of CONTRIBUTING.md" for name in sorted(present - listed)]
        lines += [f"{package}: {name} of CONTRIBUTING.md does not exist" for name in sorted(listed - present)]
    return lines


def circle(root: Path) -> list[str]:
    """Return modules that import each other in a circle, inside functions or not; empty where there is no circle."""
    modules = find_modules(root)
    graph = {
        name: {item.imported for item in imports_of(name, path, modules) if item.imported is not None} - {name}
        for name, path in modules.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as problem:
        return list(problem.args[1])
    return []
