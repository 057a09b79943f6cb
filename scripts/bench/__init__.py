"""`make bench`: what this site's own ways bring, each measured beside the usual one in the same run.

`formulas`: formulas rendered while building, against KaTeX in the reader's browser. `variants` times the builds,
`loading` the pages. `search`: our search engine, against the theme's own and Pagefind. `engines` makes the three sites,
`searching` measures them.
"""
