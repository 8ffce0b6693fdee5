"""The figures of the report: static SVG, drawn by Vega-Lite (vl-convert) when the page is made.

The other way, Vega's scripts inlined in each page, costs 0.9 MB a page, needs a redraw for dark
mode and for print, and shows nothing without scripts. A static figure is about 10 KB; its colours
are CSS variables, so it follows the theme; and since its numbers can be had as CSV, there is
nothing a tooltip would add. Figures are drawn narrow and scaled up, so that they stay legible on
a phone. How many marks a figure has does not depend on the number of items.

One module a figure; what they share is in `vega` (drawing) and `figure` (caption and download).
"""
