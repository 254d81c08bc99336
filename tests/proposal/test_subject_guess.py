"""Names that several images share may be those of a person or an animal, or only of a kind of picture."""

import pytest

from src.data.ingestion.listing import ImageEntry, Listing
from src.data.ingestion.subjects import with_subjects
from src.proposal.subject_guess import guess_subject


def listing(*names: str) -> Listing:
    labels = ("healthy", "ill")
    items = [ImageEntry(f"{labels[n % 2]}/{name}", labels[n % 2]) for n, name in enumerate(names)]
    return Listing([*labels], items)


PATIENTS = [f"patient{n:02d}_{view}.png" for n in range(12) for view in ("left", "right", "top")]
NAMES = [
    f"{name}-{n}.jpg"
    for name in ("anna", "ben", "cleo", "dan", "eva", "finn", "gus", "hans", "ida", "jan", "kim", "leo")
    for n in (1, 2, 3)
]


def test_a_spelled_subject_is_obvious_and_a_shared_name_is_not(tmp_path):
    patients, names = (guess_subject(tmp_path, listing(*each), "image_folder") for each in (PATIENTS, NAMES))
    assert patients is not None and names is not None
    assert (patients.obvious, patients.subjects) == (True, 12)
    assert (names.obvious, names.subjects) == (False, 12)


@pytest.mark.parametrize("files", [PATIENTS, NAMES])
def test_the_pattern_finds_the_subjects_where_it_is_used(tmp_path, files):
    images = listing(*files)
    guess = guess_subject(tmp_path, images, "image_folder")
    assert guess is not None
    found = {item.subject for item in with_subjects(images, guess.subject).items}
    assert len(found) == guess.subjects == 12
    assert guess.example in found


@pytest.mark.parametrize(
    "files",
    [
        [f"IMG_{n:04d}.jpg" for n in range(60)],  # a counter
        [
            f"{kind}_{n}.png" for kind in ("bird", "fish", "frog") for n in range(20)
        ],  # kinds, with many images
        [f"{name}.png" for name in "abcdefghijklmnop"],  # nothing is shared
        [f"{n:03d}_a.png" for n in range(60)],  # each alone with its name
    ],
)
def test_counters_kinds_and_single_images_suggest_nothing(tmp_path, files):
    assert guess_subject(tmp_path, listing(*files), "image_folder") is None


def test_a_column_that_is_named_after_what_it_holds_is_obvious(tmp_path):
    lines = [f"{n}.png,{'ab'[n % 2]},P{n // 3},{n}" for n in range(36)]
    (tmp_path / "labels.csv").write_text("path,label,patient_id,weight\n" + "\n".join(lines))
    guess = guess_subject(tmp_path, listing(*(f"{n}.png" for n in range(36))), "csv")
    assert guess is not None
    assert (guess.subject, guess.subjects, guess.obvious) == ("patient_id", 12, True)
