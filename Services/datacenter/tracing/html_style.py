"""How the page of a trace looks, on light and dark, wide and narrow. Pure."""

from __future__ import annotations

from Services.datacenter.drawing.style import MONOSPACE, SANS, colours, drawing_rules
from Services.datacenter.tracing.parts import SpanKind

SPANS: dict[SpanKind, tuple[str, str]] = {  # what the time of a run went to: its colours on light and on dark
    "lost": ("#b3261e", "#ff8a80"),
    "start": ("#9aa3ad", "#6d7885"),
    "wire": ("#c77700", "#f5a94f"),
    "wait": ("#c4b53c", "#d8cb62"),
    "device": ("#2c6fc2", "#74b0f2"),
    "end": ("#5d6873", "#a3adb8"),
}
RULES = """
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font-size: 15px; line-height: 1.5 }
main { max-width: 1240px; margin: 0 auto; padding: 20px 16px 60px }
code { font-size: .88em; overflow-wrap: anywhere }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere }
h2 { font-size: 1.15rem; margin: 38px 0 6px }
h3 { font-size: 1rem; margin: 0 0 6px }
p { margin: 0 0 10px; overflow-wrap: anywhere }
.dim, caption, th { color: var(--dim) }
.state { display: inline-block; border: 1.5px solid; border-radius: 99px; padding: 0 10px; font-size: .85rem; font-weight: 600;
  line-height: 1.5; vertical-align: middle; margin-left: 8px }
.succeeded { color: var(--good) }
.failed, .cancelled { color: var(--bad) }
.running { color: var(--data) }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(132px, 1fr)); gap: 10px; margin: 18px 0; padding: 0 }
.tiles div { background: var(--panel); border: 1px solid var(--hair); border-radius: 8px; padding: 8px 12px }
.tiles dt { color: var(--dim); font-size: .8rem }
.tiles dd { margin: 0; font-size: 1.15rem; font-weight: 600; line-height: 1.35 }
.tiles small { display: block; font-weight: 400; font-size: .78rem; color: var(--dim) }
.failure { border: 1.5px solid var(--bad); background: var(--badfill); border-radius: 8px; padding: 12px 16px; margin: 18px 0 }
.failure h2 { margin: 0 0 6px; color: var(--bad) }
.failure ol { margin: 0 0 10px; padding-left: 1.6em; overflow-wrap: anywhere }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 16px }
.pair > * { min-width: 0 }
.scroll { overflow: auto; border: 1px solid var(--hair); border-radius: 8px; max-height: 1400px }
.scroll:focus-visible { outline: 2px solid var(--k1) }
.scroll svg { display: block; margin: 0 auto }
table { border-collapse: collapse; width: 100%; font-size: .86rem }
caption { text-align: left; padding: 8px 10px }
th, td { text-align: left; padding: 5px 10px; border-top: 1px solid var(--hair); white-space: nowrap; vertical-align: top }
th { font-weight: 600 }
td:last-child:not(.number) { white-space: normal; min-width: 240px }
.number { text-align: right; font-variant-numeric: tabular-nums }
.stack { display: flex; height: 22px; border-radius: 5px; overflow: hidden; margin: 6px 0 10px }
.stack i { min-width: 1px }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; list-style: none; padding: 0; margin: 0 0 14px; font-size: .86rem }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px }
.fall { list-style: none; margin: 0; padding: 0 }
.fall li { display: grid; grid-template-columns: minmax(0, 340px) minmax(0, 1fr); gap: 2px 12px; align-items: center;
  padding: 4px 0; border-top: 1px solid var(--hair); font-size: .86rem; line-height: 1.35 }
.fall .what { overflow-wrap: anywhere }
.fall .what span { display: block; color: var(--dim); font-size: .92em }
.fall .critical .what b::after { content: " ●" }
.track { position: relative; height: 22px; background: var(--panel); border-radius: 4px; overflow: hidden }
.track i { position: absolute; top: 4px; height: 14px; min-width: 2px }
.track s { position: absolute; top: 0; bottom: 0;
  background: repeating-linear-gradient(135deg, var(--hair) 0 2px, transparent 2px 7px) }
.track u { position: absolute; top: 0; bottom: 0; border-left: 2px dashed var(--bad) }
.ruler .track { background: none; overflow: visible; height: 18px; font-size: .78rem; color: var(--dim) }
.ruler .track span { position: absolute; transform: translateX(-50%); white-space: nowrap }
.ruler .track span:first-child { transform: none }
.ruler .track span:last-child { transform: translateX(-100%) }
@media (max-width: 640px) {
  main { padding: 14px 12px 40px }
  h1 { font-size: 1.3rem }
  .fall li { grid-template-columns: minmax(0, 1fr) }
  .ruler .what { display: none }
}
@media print { .scroll { overflow: visible; max-height: none } }
"""


def style() -> str:
    """The style sheet."""
    light, dark = (";".join(f"--{name}-bar:{both[which]}" for name, both in SPANS.items()) for which in (0, 1))
    bars = "".join(f".{name}-bar{{background:var(--{name}-bar)}}" for name in SPANS)
    fonts = f"body{{font-family:{SANS}}}code{{font-family:{MONOSPACE}}}"
    both = f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    return colours() + both + bars + fonts + drawing_rules() + RULES
