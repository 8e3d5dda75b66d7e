"""What is learnt from: schemas, readers and what the builders in examples/ share.

`preferences` loads and decodes what rewards learn from, `edits` D_train, which pipelines are tuned on, from `sources`,
`folders` and `tars`; `public_sets` reads public collections, `pairs` makes pairs of what was judged, `shards` writes
so that a kill loses little, `prompts` picks prompts, `images` decodes what nobody vouches for, `skipped` counts what
cannot be. Importing this package loads nothing heavy.
"""
