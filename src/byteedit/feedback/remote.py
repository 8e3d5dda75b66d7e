"""Studies and answers on the hub: a study fetched from a data set, answers pushed to one and taken up from it again.

A Space forgets its files when it is started again, so answers are taken up before anyone joins, and again before each
push: while a Space is rebuilt, the old server and the new one push. So nothing that was pushed is written over by less.
Built on huggingface_hub's CommitScheduler.
"""

import json
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import CommitScheduler, HfApi

from byteedit.evaluation.human.answers import is_of, lock
from byteedit.evaluation.human.studies import Study
from byteedit.files import write_atomically
from byteedit.hub import UNREACHABLE, first_line

__all__ = ["fetch_study", "merge", "push_answers", "take_up"]

PARTS = ("study.json", "questions.jsonl", "pictures/*.png")


def fetch_study(hub: HfApi, repository: str, folder: str | Path) -> Path:
    """Download the study that a data set of the hub holds, without its answers, into `folder`.

    Raises:
        ValueError: the hub does not give the data set, or it holds no study.
    """
    try:
        hub.snapshot_download(repository, repo_type="dataset", local_dir=folder, allow_patterns=list(PARTS))
        why = "" if (Path(folder) / "study.json").is_file() else "it has no study.json"
    except (*UNREACHABLE, ValueError) as error:  # ValueError: what is no name of a data set
        why = first_line(error)
    if why:
        raise ValueError(
            f"no study comes from the data set {repository!r} ({why}); check STUDY, and that HF_TOKEN may read it."
        )
    return Path(folder)


class Pushing(CommitScheduler):
    """A CommitScheduler that adds to what is there, says in a line what went wrong, and goes on."""

    def __init__(self, study: Study, **settings):
        self.study = study
        super().__init__(folder_path=study.folder / "answers", path_in_repo="answers", **settings)

    def push_to_hub(self):
        """Commit what has grown, once it has what the hub has of it. What cannot be pushed now is pushed next time."""
        try:
            grown = [file.name for file in self.folder_path.glob("*.jsonl") if self._has_grown(file)]
            same = take_up(self.study, self.api, self.repo_id, grown) if grown else {}
            self.last_uploaded |= {self.folder_path / name: modified for name, modified in same.items()}
            return super().push_to_hub()
        except (*UNREACHABLE, ValueError) as error:
            print(f"byteedit: answers were not pushed to {self.repo_id}, and will be: {first_line(error)}", flush=True)

    def _has_grown(self, file: Path) -> bool:
        return self.last_uploaded.get(file) != file.stat().st_mtime

    def finish(self) -> None:
        """Push what is left, and stop."""
        self.trigger().result()
        self.stop()


def push_answers(study: Study, hub: HfApi, repository: str, every: float) -> Pushing:
    """Take up the answers that a data set holds, then push them there whenever they have grown.

    Args:
        study: What is answered.
        hub: Where the data set is; it knows the token.
        repository: OWNER/NAME. It is made, private, where it is missing.
        every: Minutes between two pushes.

    Raises:
        ValueError: the data set cannot be read or written.
    """
    if not every > 0:
        raise ValueError(f"every is {every}; it must be more than 0 minutes.")
    try:
        hub.create_repo(repository, repo_type="dataset", private=True, exist_ok=True)
        take_up(study, hub, repository)
        return Pushing(
            study, repo_id=repository, repo_type="dataset", allow_patterns="*.jsonl", every=every, hf_api=hub
        )
    except UNREACHABLE as error:
        advice = "Log in with `hf auth login`, or set HF_TOKEN to a token that may write there."
        raise ValueError(f"answers cannot be pushed to {repository}: {first_line(error)} {advice}") from error


def take_up(study: Study, hub: HfApi, repository: str, names: Collection[str] | None = None) -> dict[str, float]:
    """Add to the study the answers that a data set of the hub holds and it lacks.

    Args:
        study: What is answered.
        hub: Where the data set is.
        repository: OWNER/NAME.
        names: Of the files to look at, RATER.jsonl; all without.

    Returns:
        The files that now hold just what the hub holds, with their times of modification.

    Raises:
        ValueError: they are answers to another study.
    """
    same = {}
    for path in hub.list_repo_files(repository, repo_type="dataset"):
        name = Path(path).name
        if not Path(path).match("answers/*.jsonl") or (names is not None and name not in names):
            continue
        with TemporaryDirectory() as scratch:  # the cache would keep every state, and give an old one where it must
            content = Path(hub.hf_hub_download(repository, path, repo_type="dataset", local_dir=scratch)).read_bytes()
        if not is_of(study, content):
            raise ValueError(f"{repository} holds answers to another study; push to another data set.")
        file = study.folder / "answers" / name
        with lock(study):
            here = file.read_bytes() if file.exists() else b""
            merged = merge(here, content) if here else content
            if merged != here:
                write_atomically(file, merged)
            if merged == content:
                same[name] = file.stat().st_mtime
    return same


def merge(here: bytes, there: bytes) -> bytes:
    """One rater's file from two copies of it: the first one's head, then every line of either once, by its time."""
    head, *ours = here.split(b"\n")
    _, *theirs = there.split(b"\n")
    lines = dict.fromkeys(filter(None, [*theirs, *ours]))
    return b"\n".join([head, *sorted(lines, key=_time), b""])


def _time(line: bytes) -> str:
    try:
        return json.loads(line)["time"]
    except (ValueError, KeyError, TypeError):  # torn
        return ""
