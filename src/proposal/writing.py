"""Writes a proposal into the repository: completely or not at all."""

import shutil
import signal
import textwrap
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from src.config.experiment import CHOICE, DEFAULTS
from src.config.loading import PARAMS, compose_text, load_conf
from src.core.errors import AssayError
from src.core.files import replaced, write_text
from src.core.hashing import iter_files
from src.pretrained.files import ENDINGS
from src.proposal.proposal import Proposal
from src.proposal.setting import Setting
from src.proposal.taken_names import data_file, experiment_file
from src.provenance.dvc_add import dvc_add, unstage

MOST_WIDTH = 118  # characters of a comment's line
WRITTEN = (*ENDINGS, ".json")  # of files of weights, and of the note beside them
ROOM = 2.2  # times the folder's bytes that must be free: a copy, and another in DVC's cache


def write(proposal: Proposal, folder: Path, raw: Path, weights: Path) -> Iterator[str]:
    """Copy the images, write both files, and make the experiment the default; yields what was done.

    After an error or Ctrl-C everything is as it was before.

    Args:
        folder: with the images.
        raw: data/raw.
        weights: data/weights.
    """
    name, place = proposal.name, raw / proposal.name
    texts = [data_file(name), experiment_file(name), DEFAULTS, PARAMS]
    tracked = [raw / f"{name}.dvc", raw / ".gitignore", *_weight_notes(proposal, weights)]
    with _all_or_nothing(texts, tracked, [place, *_new_weights(proposal, weights)]):
        yield _bring(folder, place)
        dvc_add(place)
        yield f"{place} is tracked by DVC ({place}.dvc)"
        if proposal.weights is not None:
            yield _bring_weights(proposal, weights)
        write_text(data_file(name), data_text(proposal))
        write_text(experiment_file(name), experiment_text(proposal))
        _make_default(name)
        load_conf()  # refuses what the schema does not allow
        write_text(PARAMS, compose_text())
        yield f"wrote {data_file(name)} and {experiment_file(name)}, now the default, and {PARAMS}"


def describe_files(proposal: Proposal) -> Iterator[str]:
    """What `write` would write, one text for each file."""
    yield f"--- {data_file(proposal.name)} would be:\n{data_text(proposal)}"
    yield f"--- {experiment_file(proposal.name)} would be:\n{experiment_text(proposal)}"


def data_text(proposal: Proposal) -> str:
    """The content of conf/data/NAME.yaml."""
    return "\n".join(
        [
            "# Proposed by python -m src.start.",
            *_comments(proposal, ("The data", "Doubts")),
            "defaults:",
            f"  - {proposal.source}",
            "  - _self_",
            *_lines(proposal.data),
            "",
        ]
    )


def experiment_text(proposal: Proposal) -> str:
    """The content of conf/experiment/NAME.yaml."""
    groups = [Setting(f"- override /{each.key}", each.value, each.reason) for each in proposal.groups]
    return "\n".join(
        [
            "# @package _global_",
            f"# Proposed by python -m src.start; conf/data/{proposal.name}.yaml says what the data are like.",
            *_comments(proposal, ("The machine", "What to try", "What to deploy")),
            "defaults:",
            f"  - override /data: {proposal.name}",
            *(f"  {line}" for line in _lines(groups)),
            "  - _self_",
            *_nested(proposal.settings),
            "",
        ]
    )


def _comments(proposal: Proposal, titles: Sequence[str]) -> list[str]:
    return [
        line
        for title, sentences in proposal.steps
        if title in titles and sentences
        for line in [f"# {title}:", *(part for text in sentences for part in _wrapped(text))]
    ]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, MOST_WIDTH, initial_indent="# - ", subsequent_indent="#   ")


def _nested(settings: Sequence[Setting]) -> list[str]:
    """Dotted keys as nested YAML, with each reason behind its value."""
    lines, above = list[str](), list[str]()
    for each in sorted(settings, key=lambda setting: setting.key.split(".")[:-1]):
        *sections, key = each.key.split(".")
        shared = next(
            (n for n, (a, b) in enumerate(zip(above, sections, strict=False)) if a != b), len(above)
        )
        shared = min(shared, len(sections))
        lines += [f"{'  ' * depth}{sections[depth]}:" for depth in range(shared, len(sections))]
        lines += [f"{'  ' * len(sections)}{line}" for line in _lines([Setting(key, each.value, each.reason)])]
        above = sections
    return lines


def _lines(settings: Sequence[Setting]) -> list[str]:
    return [
        f"{each.key}: {_value(each.value)}" + (f" # {each.reason}" if each.reason else "")
        for each in settings
    ]


def _value(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n").removesuffix("\n...")


def _bring(folder: Path, place: Path) -> str:
    """Copy the folder to data/raw, unless it is there; says what was done.

    A copy, not a link: DVC makes what it tracks read-only or replaces it, which must not happen to a
    person's own folder, and a link would be useless in a clone.
    """
    if place.exists() and place.samefile(folder):
        return f"{place} stays where it is"
    files = list(iter_files(folder))
    size = sum(path.stat().st_size for path in files)
    free = shutil.disk_usage(place.parent).free
    if free < ROOM * size:
        raise AssayError(
            f"{folder} has {size / 1e9:.1f} GB; its copy and DVC's cache need {ROOM * size / 1e9:.1f} GB, "
            f"but only {free / 1e9:.1f} GB are free here: free some space, or move the folder to {place}"
        )
    with replaced(place) as beside:
        shutil.copytree(folder, beside, copy_function=shutil.copyfile)
    return f"copied {len(files):,} files ({size / 1e6:.0f} MB) to {place}; {folder} stays as it is"


def _bring_weights(proposal: Proposal, folder: Path) -> str:
    from src.pretrained.download import fetch_imagenet_weights

    assert proposal.weights is not None
    model, path = proposal.weights.model, proposal.weights.path
    if path is None or path.parent != folder or not path.with_suffix(".json").is_file():
        path = fetch_imagenet_weights(model, folder, path)
    for part in (path, path.with_suffix(".json")):
        dvc_add(part)
    return f"{path}, from {proposal.weights.place}, is tracked by DVC"


def _new_weights(proposal: Proposal, folder: Path) -> list[Path]:
    """Files of weights that are not there yet."""
    if proposal.weights is None:
        return []
    files = [folder / f"{proposal.weights.model}{ending}" for ending in WRITTEN]
    return [path for path in files if not path.exists()]


def _weight_notes(proposal: Proposal, folder: Path) -> list[Path]:
    """Small files beside the weights, which may exist and change."""
    if proposal.weights is None:
        return []
    model = proposal.weights.model
    names = [f"{model}{ending}.dvc" for ending in WRITTEN]
    return [folder / ".gitignore", folder / f"{model}.json", *(folder / name for name in names)]


def _make_default(name: str) -> None:
    text, found = CHOICE.subn(rf"\g<1>{name}", DEFAULTS.read_text(encoding="utf-8"), count=1)
    if not found:
        raise AssayError(
            f"{DEFAULTS} has no line `- experiment: null` in its defaults, to name {name}: add it"
        )
    write_text(DEFAULTS, text)


@contextmanager
def _all_or_nothing(texts: Sequence[Path], tracked: Sequence[Path], places: Sequence[Path]) -> Iterator[None]:
    """Bring small files back, and remove what was not there, if the block does not end well.

    Args:
        texts: small files of ours.
        tracked: small files of DVC, which stages them in git.
        places: files and folders that may be new.
    """
    before = {path: path.read_bytes() if path.is_file() else None for path in (*texts, *tracked)}
    fresh = [path for path in places if not path.exists()]
    try:
        yield
    except BaseException:
        with _undisturbed():
            for path in fresh:
                _remove(path)
            for path, content in before.items():
                _restore(path, content)
            unstage(tracked)
        raise


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let a second Ctrl-C wait: a half-finished undo would be the worst outcome."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, earlier)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _restore(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    elif path.read_bytes() != content:
        path.write_bytes(content)
