"""The data that rewards learn from: schemas, readers and what the builders in examples/ share.

`preferences` loads and decodes, `public_sets` reads public collections, `shards` writes so that a kill loses little,
`prompts` picks prompts, `images` decodes what nobody vouches for. Importing this package loads nothing heavy.
"""
