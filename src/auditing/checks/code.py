"""Which commit holds exactly the code that made it?"""

from src.auditing.git_search import find_commit
from src.auditing.target import AuditTarget
from src.auditing.verdict import CheckLog, Verdict
from src.provenance.dvc_lock import md5_of

QUESTION = "Is the code that made it in git?"
SHOWN = 5  # files named in one line


def check(subject: AuditTarget, see: CheckLog) -> None:
    """The code against dvc.lock, which names what each stage ran with, then against git's history."""
    changed = _changed(subject)
    moved_on = Verdict.DIFFERENT if subject.is_workspace else Verdict.INCOMPLETE
    for path, stages in sorted(changed.items()):
        see.find(path, f"as {stages[0]} ran with it, by dvc.lock", "other bytes", moved_on)
    if not changed:
        see.agree("src/ and requirements.lock are what dvc.lock says each stage ran with")
    origin = find_commit(subject.root, subject.folder, subject.commit)
    if origin.committed:
        see.agree(f"commit {str(origin.commit)[:10]} holds exactly this code: {origin.subject}")
        return
    files = ", ".join(origin.differing[:SHOWN]) + (" …" if len(origin.differing) > SHOWN else "")
    nearest = f"never committed; nearest is {origin.commit[:10]}" if origin.commit else "no git history here"
    if subject.is_workspace and changed:
        see.note(f"{nearest}, from which differ: {files}")
        return
    see.find("code", "a commit that holds it", f"{nearest}, from which differ: {files}", Verdict.INCOMPLETE)


def _changed(subject: AuditTarget) -> dict[str, list[str]]:
    """{path of code that is not what stages ran with: those stages}."""
    found: dict[str, list[str]] = {}
    known: dict[str, str | None] = {}
    for name in subject.behind():
        for path, md5 in subject.lock[name].dependencies.items():
            if not (path.startswith("src") or path == "requirements.lock"):
                continue
            if path not in known:
                place = subject.folder / path
                known[path] = md5_of(place) if place.exists() else None
            if known[path] != md5:
                found.setdefault(path, []).append(name)
    return found
