"""Plans of analysis: what a table holds, the tools, ready plans, and changes to them."""
