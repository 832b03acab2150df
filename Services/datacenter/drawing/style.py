"""The colours and fonts of drawings, for light and dark. Colour is never all that tells things apart. Pure."""

from __future__ import annotations

from Services.fractos.graph import default_catalogue

HOME, CLIENT = "home", "client"  # the kinds of lifeline that are no device: the application node, the program
SANS = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif'
MONOSPACE = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace'

# Of each kind of node the colour of its boxes and that of their borders and texts, on light and on dark paper.
LIGHT = (
    ("#efeafd", "#5b3fb0"),
    ("#e3effc", "#1a5ba8"),
    ("#e2f4e9", "#1b6e3e"),
    ("#fcecd9", "#8f4c0c"),
    ("#fce6ef", "#a3245f"),
    ("#dcf3f3", "#0c6466"),
    ("#f7f0cd", "#6b5605"),
    ("#fae4df", "#a03420"),
)
DARK = (
    ("#2a2342", "#bda9ee"),
    ("#16293f", "#86bdf4"),
    ("#15301f", "#82d4a3"),
    ("#38260f", "#f2b672"),
    ("#3a1b2b", "#f298c0"),
    ("#0f2f30", "#77d8da"),
    ("#322b0d", "#dfca63"),
    ("#3b1d16", "#f4a797"),
)
PAPER = {
    "paper": ("#ffffff", "#14171c"),
    "panel": ("#f5f7f9", "#1c2128"),
    "ink": ("#1a1f26", "#e4e9ef"),
    "dim": ("#57616d", "#9aa6b3"),
    "line": ("#6f7b88", "#8b97a4"),
    "hair": ("#d5dbe1", "#333b45"),
    "data": ("#b4530a", "#f5a94f"),
    "bad": ("#b3261e", "#ff8a80"),
    "badfill": ("#fdeceb", "#3d1a18"),
    "good": ("#1b6e3e", "#82d4a3"),
    "home-fill": ("#eceff2", "#262c35"),
    "home": ("#3a4450", "#c3ccd6"),
    "client-fill": ("#ffffff", "#14171c"),
    "client": ("#3a4450", "#c3ccd6"),
}


def kind_of(node_type: str) -> str:
    """The class of a type of node: the same in every drawing."""
    types = default_catalogue().node_types
    return f"k{(types.index(node_type) if node_type in types else len(types)) % len(LIGHT)}"


def colours() -> str:
    """The colours as CSS variables, which follow the reader's choice of light or dark."""
    return f":root{{color-scheme:light dark;{_variables(0)}}}@media (prefers-color-scheme:dark){{:root{{{_variables(1)}}}}}"


def _variables(which: int) -> str:
    said = [f"--{name}:{both[which]}" for name, both in PAPER.items()]
    for number, (fill, ink) in enumerate((LIGHT, DARK)[which]):
        said += [f"--k{number}-fill:{fill}", f"--k{number}:{ink}"]
    return ";".join(said)


def drawing_rules() -> str:
    """The rules for what drawings are made of."""
    kinds = [f"k{number}" for number in range(len(LIGHT))]
    boxes = "".join(f".{kind} .box{{fill:var(--{kind}-fill);stroke:var(--{kind})}}" for kind in (*kinds, HOME, CLIENT))
    names = "".join(f".{kind} .name{{fill:var(--{kind})}}" for kind in (*kinds, HOME, CLIENT))
    return (
        f".drawing{{font-family:{SANS};font-size:13px}}.drawing text{{fill:var(--ink)}}"
        f".drawing .mono{{font-family:{MONOSPACE};font-size:11px}}"
        ".drawing .heading{font-size:16px;font-weight:600}.drawing .name{font-weight:600}.drawing .dim{fill:var(--dim)}"
        ".drawing .small{font-size:11px}.drawing .sheet{fill:var(--paper)}.drawing .box{stroke-width:1.3}"
        ".drawing .edge{fill:none;stroke:var(--line);stroke-width:1.4}.drawing .order{stroke-dasharray:5 4}"
        ".drawing .data{stroke:var(--data)}.drawing text.data{fill:var(--data);stroke:none}"
        ".drawing .tip{fill:var(--line);stroke:none}.drawing .tip.data{fill:var(--data)}"
        ".drawing .halo{paint-order:stroke;stroke:var(--paper);stroke-width:5px;stroke-linejoin:round}"
        ".drawing .critical .edge{stroke:var(--ink);stroke-width:2.4}.drawing .critical .tip{fill:var(--ink)}"
        ".drawing .critical .box{stroke-width:2.6}.drawing .open .box{stroke-dasharray:4 4;fill:var(--paper)}"
        ".drawing .life{stroke:var(--hair);stroke-width:1.5}.drawing .bad .box{fill:var(--badfill);stroke:var(--bad)}"
        ".drawing text.bad,.drawing .bad .name{fill:var(--bad)}.drawing .note{fill:var(--panel);stroke:var(--hair)}"
        f"{boxes}{names}"
    )
