"""Elements of HTML and SVG, whose texts are escaped by the library that writes them; knows no page."""

from __future__ import annotations

from xml.etree import ElementTree

Node = ElementTree.Element


def element(tag: str, *children: Node | str | None, **attributes: str | float) -> Node:
    """An element. Names of attributes have `_` for `-`, and may end in one; a child that is None is left out."""
    node = Node(tag, {name.rstrip("_").replace("_", "-"): _text(value) for name, value in attributes.items()})
    for child in children:
        if isinstance(child, str):
            _append_text(node, child)
        elif child is not None:
            node.append(child)
    return node


def html(root: Node) -> str:
    """The document."""
    return "<!DOCTYPE html>\n" + ElementTree.tostring(root, encoding="unicode", method="html")


def _append_text(node: Node, text: str) -> None:
    if len(node):
        node[-1].tail = (node[-1].tail or "") + text
    else:
        node.text = (node.text or "") + text


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"
