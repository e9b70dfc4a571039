"""What names of folders and files say about the parts in the pictures."""

from __future__ import annotations

import unicodedata

import pytest

from export.data.name_meanings import (
    file_is_no_good,
    folder_is_no_good,
    marked_stem,
    means_bad,
    means_good,
    whole_name_is_bad,
)

BAD_NAMES = """ng NG NG_001 ng1 NG001 nok N.O.K. bad Bad BadParts bad-parts defect Defects DEFECTIVE
    defect_free_12_ng abnormal Abnormal anomaly anomalies Anomalous ko KO n.i.O. NIO n_i_o_Teile
    not_ok not-good nicht_gut no_good reject Rejects rejected scrap faulty schlecht Schlechtteile
    Fehler fehlerhaft Ausschuss ausschussteile no_12_bad def_front cast_def_0_12 Class1_def failed
    MT_Crack scratches broken-large ＮＧ 不良品 缺陷 défauts bad20241129 not_passed bad_3bad81fe"""

NEUTRAL_NAMES = """monday IMG_20240101_123456 part12 scraper badge knob kombi angle song defect_free
    no_defects non-defective fehlerfrei ohne_Fehler good_no_12 good normal OK i.O. Größe_3 検査
    20085000_temp faultless_or_not 3bad81fe MT_Free crackers stainless ok_front
    0c1def4a-4bad-4def-8bad-1bad2def3bad part_jpg.rf.7bad0d6e1def2c3bad4f5a6b7c8d9e0f"""


@pytest.mark.parametrize("name", BAD_NAMES.split())
def test_names_that_mean_bad(name: str) -> None:
    """In any case, with numbers, joined, in English and German; as folder and as file."""
    assert means_bad(name)
    assert folder_is_no_good(name)
    assert file_is_no_good(name + ".png")
    assert not means_good(name)


@pytest.mark.parametrize("name", NEUTRAL_NAMES.split())
def test_names_that_do_not(name: str) -> None:
    """A word inside another word, and a denied defect, say nothing bad."""
    assert not means_bad(name)
    assert not folder_is_no_good(name)
    assert not file_is_no_good(name + ".png")


GOOD_FOLDERS = """good Good OK ok normal Normal gut i.O. pass Defect-free OK_parts good_images
    Gutteile 良品 non-defective ｇｏｏｄ"""


@pytest.mark.parametrize("name", GOOD_FOLDERS.split())
def test_folders_of_good_parts(name: str) -> None:
    """In any case."""
    assert means_good(name)


def test_words_of_a_data_set() -> None:
    """Masks, labels, test: as a folder wherever they stand, as a file the last word only."""
    for name in (
        "mask",
        "Masks",
        "label_pictures",
        "labels",
        "ground_truth",
        "Test",
        "test_images",
    ):
        assert folder_is_no_good(name)
    for name in ("000_mask.png", "Part5_label.bmp", "10000_GT.png", "20085000_test.jpg"):
        assert file_is_no_good(name)
    for name in ("label.png", "label_001.png", "test_001.png", "mask 3.png"):
        assert not file_is_no_good(name)
    assert marked_stem("Part5_label") == "Part5"
    assert marked_stem("10000_GT") == "10000"
    assert marked_stem("label") is None
    assert marked_stem("unlabel") is None


def test_a_whole_name_that_is_bad() -> None:
    """The folder a person names is refused only if its name says nothing else."""
    for name in ("NG", "bad parts", "NG_2", "defects", "not_ok", "Ausschussteile"):
        assert whole_name_is_bad(name)
    for name in ("defect_inspection", "good", "monday", "2024", "ng_line_good"):
        assert not whole_name_is_bad(name)


@pytest.mark.parametrize("name", ["beschädigt", "défaut 3"])
def test_decomposed_letters_are_letters(name: str) -> None:
    """A Mac writes an umlaut as two characters."""
    assert means_bad(unicodedata.normalize("NFD", name))


def test_positive_and_negative_say_nothing_certain() -> None:
    """A folder of that name alone is refused: in some sets the positive parts are cracked."""
    assert folder_is_no_good("Positive")
    assert folder_is_no_good("negatives")
    assert not folder_is_no_good("positive_mould_2")
