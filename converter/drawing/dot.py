"""A drawing as DOT, the language of Graphviz: `dot -Tsvg net.dot -o net.svg`."""

from __future__ import annotations

from demitasse.converter.drawing.boxes import Box, Drawing
from demitasse.converter.drawing.svg import COLOURS


def dot(drawing: Drawing) -> str:
    """The text of a DOT file."""
    lines = [
        f"digraph {_quoted(drawing.title)} {{",
        '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontcolor=white];',
        '  edge [fontname="Helvetica", fontsize=10];',
    ]
    for i, box in enumerate(drawing.boxes):
        colour = COLOURS["problem" if box.problem else box.parts[0].family]
        lines.append(f'  n{i} [label={_quoted(_label(box))}, fillcolor="{colour}"];')
    for wire in drawing.wires:
        for target in dict.fromkeys(wire.targets):
            lines.append(f"  n{wire.source} -> n{target} [label={_quoted(wire.label)}];")
    return "\n".join([*lines, "}", ""])


def _label(box: Box) -> str:
    first, *more = (part.kind for part in box.parts)
    return "\n".join([f"{first} {box.detail}".strip(), box.name, *more])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
