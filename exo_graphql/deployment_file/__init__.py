"""Deployments as code: a TOML file with a table `[deployments.NAME]` for each, read and written.

Read `arguments.py` (which keys there are), `reader.py` (text to tables, or where it is invalid) with
`line_numbers.py`, and `writer.py` (tables to text). The server (`serve --deployments`) and the command line
(`apply -f`) both use it, so it knows neither: it needs the standard library alone.
"""
