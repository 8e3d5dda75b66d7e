"""Training: one loop (`loop`), and one file for each stage that runs in it.

`settings` says what a run may set, `batches` which rows a step sees, `checkpoints` what survives a kill, `reward`
holds the stage of the three rewards. Nothing here imports evaluation. Importing this package loads no torch.
"""
