"""What the paper reports, to stand beside what is measured, and never to be mixed with it.

Its experts, its benchmarks and its model are not here: only the form of the tables is the same.
Source: ByteEdit (arXiv 2404.04860), Tables 1 and 2, Figures 3 and 6.
"""

__all__ = ["ABLATIONS", "AXES", "EXPERTS", "SOURCE", "VOTES", "WORDS"]

SOURCE = "ByteEdit (arXiv 2404.04860)"

AXES = ("coherence", "structure", "aesthetics")
EXPERTS = {
    "MeiTu": {"outpainting": (3.01, 2.73, 2.75), "editing": (2.77, 2.89, 2.51), "erasing": (3.31, 3.25)},
    "Canva": {"outpainting": (2.72, 2.85, 2.65), "editing": (3.42, 3.40, 3.08), "erasing": (2.92, 2.90)},
    "Adobe": {"outpainting": (3.52, 3.07, 3.14), "editing": (3.46, 3.60, 3.22), "erasing": (3.85, 4.28)},
    "ByteEdit": {"outpainting": (3.54, 3.25, 3.26), "editing": (3.73, 3.39, 3.25), "erasing": (3.99, 4.03)},
}
"""Table 1: mean marks from 1 to 5 by experts, by system and task, in the order of `AXES`."""

WORDS = {
    "editbench": {
        "DiffEdit": (0.272, 0.582),
        "BLD": (0.280, 0.596),
        "EMILIE": (0.311, 0.620),
        "ByteEdit": (0.329, 0.691),
    },
    "userbench": {
        "MeiTu": (0.235, 0.174),
        "Canva": (0.241, 0.467),
        "Adobe": (0.237, 0.450),
        "ByteEdit": (0.255, 0.687),
    },
}
"""Table 2: CLIPScore and BLIPScore, by benchmark and system."""

VOTES = {
    "outpainting": {"good": 5413, "same": 3034, "bad": 4478, "reported": 1.05},
    "editing": {"good": 5605, "same": 3295, "bad": 3448, "reported": 1.63},
    "erasing": {"good": 4766, "same": 2679, "bad": 4355, "reported": 1.12},
}
"""Figure 3: votes for ByteEdit, for neither and for Adobe, and the superiority that the paper reports for them."""

ABLATIONS = {
    "with against without PeFL": (
        "above 50% on every task and axis; the most, 79.5%, on outpainting's structure and aesthetics"
    ),
    "with against without acceleration": "between 47% and 53% on every task and axis: no loss",
}
"""Figure 6: win rates by people, as far as the paper's text gives them."""
