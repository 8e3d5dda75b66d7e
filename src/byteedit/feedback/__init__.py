"""The app that people answer a study in: a page for raters, and the server behind it.

`app` is the server's few addresses, `page/` what the browser loads, `serving` how it is started, `remote` the way of
answers to the hub and back, `demonstration` a study of drawings to try it with. What is kept of answers, and what
follows from them, is in `evaluation.human`; docs/studies.md tells raters' keys and the files' format.
"""
