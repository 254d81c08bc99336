"""What a way to split gives up is said before it is chosen for good."""

from src.proposal.data_settings import describe_split
from src.proposal.setting import Setting


def test_a_stratified_split_says_that_new_images_move_old_ones():
    (sentence,) = describe_split([Setting("split.method", "stratified"), Setting("split.rare", "train")])
    assert "images that you add later move old ones" in sentence
    assert "set split.method=stable" in sentence
    assert describe_split([Setting("split.method", "stable")]) == []
