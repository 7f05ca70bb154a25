"""An HTML page as a tree of elements: whatever a text holds is text, as it is escaped when the tree is written.

Control characters are shown, as everywhere. The page needs nothing from elsewhere, and may not: its content security
policy lets a browser load nothing at all.
"""

from collections.abc import Iterable
from pathlib import Path
from xml.etree.ElementTree import Element, tostring

from charlstm.display.visible import visible, visible_in_line

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)

Child = Element | str | None


def element(tag: str, *children: Child, **attributes: object) -> Element:
    """An element; `class_` is its class, other underscores are hyphens, and what is None is left out."""
    named = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items() if value is not None}
    made = Element(tag, {name: visible(str(value)) for name, value in named.items()})
    return add(made, *children)


def add(parent: Element, *children: Child) -> Element:
    """`parent`, with more in it."""
    for child in children:
        if isinstance(child, Element):
            parent.append(child)
        elif child and len(parent):
            parent[-1].tail = (parent[-1].tail or "") + visible(child)
        elif child:
            parent.text = (parent.text or "") + visible(child)
    return parent


def in_line(text: str, mark_edges: bool = False) -> str:
    """Foreign text on a single line. Line ends and tabs have signs that most fonts know."""
    return visible_in_line(text, mark_edges).replace("\u2424", "↵").replace("\u2409", "⇥")


def table(caption: str, headings: Iterable[str], rows: Iterable[Iterable[object]], kind: str = "numbers") -> Element:
    """A table whose first column names its rows; `kind` is its class: of numbers they are to the right."""
    head = element("tr", *(element("th", each, scope="col") for each in headings))
    body = element("tbody")
    for first, *others in rows:
        cells = (element("td", each if isinstance(each, Element) else str(each)) for each in others)
        add(body, element("tr", element("th", str(first), scope="row"), *cells))
    made = element("table", element("caption", caption), element("thead", head), body, class_=kind)
    return scrolled(made, caption)


def scrolled(wide: Element, name: str) -> Element:
    """What may be wider than the page, in a frame that the keyboard reaches, too."""
    return element("div", wide, class_="wide", tabindex=0, role="region", aria_label=name)


def section(identity: str, title: str, *children: Child) -> Element:
    """A part of the page, with a heading that links to it."""
    heading = element("h2", title, id=f"{identity}-title")
    return element("section", heading, *children, id=identity, aria_labelledby=f"{identity}-title")


def figure(picture: Element, *caption: Child) -> Element:
    """A picture with what it shows below it."""
    return element("figure", picture, element("figcaption", *caption))


def document(title: str, *body: Child) -> str:
    """A whole page, with the style and the script that stand beside this file."""
    style, script = (Path(__file__).with_name(f"report.{kind}").read_text("utf-8") for kind in ("css", "js"))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        _raw("style", style),
    )
    whole = element("html", head, element("body", *body, _raw("script", script)), lang="en")
    return "<!DOCTYPE html>\n" + tostring(whole, encoding="unicode", method="html") + "\n"


def _raw(tag: str, content: str) -> Element:
    """Style or script of our own, which is not escaped."""
    made = Element(tag)
    made.text = content
    return made
