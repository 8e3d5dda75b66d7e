"""Training: one loop (`loop`), and one file for each stage that runs in it.

`settings` says what a run may set, `batches` and `streams` which rows a step sees, `checkpoints` what survives a kill.
The stages: `reward` (the three rewards), `sft` (supervised), `pefl` (feedback). `base` opens and writes the checkpoint
that the last two tune, `items` makes what they learn from. Nothing here imports evaluation. Importing this package
loads no torch.
"""
