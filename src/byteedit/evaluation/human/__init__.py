"""What people think of pictures: studies made, answered and read.

A study is a folder (`studies`), made from cases and the outputs of systems (`creation`, `planning`). Raters answer it
(`raters`, `answers`), here without an app around them. What they said becomes figures (`comparison`, `agreement`,
`summary`, `tables`) or training data (`export`). The formats are written out in docs/studies.md.
"""
