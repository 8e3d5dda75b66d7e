"""Training: one loop (`loop`), and one file for each stage that runs in it.

`settings` says what a run may set, `batches` and `streams` which rows a step sees, `augment` how a reward sees them,
`checkpoints` what survives a kill, `journal` what a run says of itself.
The stages: `reward` (the three rewards, which `towers` builds and `freezing` holds in part), `sft` (supervised), `pefl`
(feedback, with its `approach`, `losses` and `features`), which `boost` makes a whole one, and `fast` (feedback against
a discriminator), which `phases` does. `base` opens and writes the checkpoint that the last ones tune, by LoRAs of
`adapters`; `items` makes what they learn from, `watching` looks at what is held out. `run` is each of them from
settings to a model card, which `cards` writes. Nothing here imports evaluation. Importing this package loads no torch.
"""
