"""Drawings of task graphs and of the way they travel, as SVG and as Mermaid. Used by `graph` and by the pages of `trace`."""
