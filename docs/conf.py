"""Sphinx reads this for `make docs`: Markdown pages, one look, and no request to another host."""

project = "Doorcode"
html_title = "Doorcode"
html_theme = "furo"
extensions = ["myst_parser"]
myst_heading_anchors = 4  # a link may name a heading down to this level, as on the repository's pages
nitpicky = True
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
