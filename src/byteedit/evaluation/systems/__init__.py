"""Systems that answer the cases of benchmarks: ours, the paper's baselines, fillers, and answers made elsewhere.

`open_system("byteedit:MODEL,steps=8")` opens one by name, `answer_to(system, case)` asks it. What they are and which
options they take is in docs/evaluation.md. `answers` takes batches of cases through our pipeline alone.
"""

from byteedit.evaluation.naming import open_named
from byteedit.evaluation.systems.baselines import open_bld, open_diffedit, open_sd_inpaint
from byteedit.evaluation.systems.chain import open_emilie
from byteedit.evaluation.systems.fillers import open_lama, open_navier_stokes, open_telea
from byteedit.evaluation.systems.made_elsewhere import open_folder
from byteedit.evaluation.systems.ours import answer, answers, open_byteedit
from byteedit.evaluation.systems.system import System, answer_to

__all__ = ["SYSTEMS", "System", "answer", "answer_to", "answers", "open_system"]

SYSTEMS = {
    "byteedit": open_byteedit,
    "sd-inpaint": open_sd_inpaint,
    "bld": open_bld,
    "diffedit": open_diffedit,
    "emilie": open_emilie,
    "lama": open_lama,
    "telea": open_telea,
    "navier-stokes": open_navier_stokes,
    "folder": open_folder,
}


def open_system(text: str, device: str = "cpu") -> System:
    """A system by name, such as "sd-inpaint:MODEL,steps=20" or "folder:DIR".

    Raises:
        ValueError: there is no such system or option, or what it needs is missing.
    """
    return open_named(SYSTEMS, text, "system", device=device)
