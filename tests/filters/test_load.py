"""Filter files made ready, or refused with all that is wrong with them."""

import pytest

from guard.filters.load import FilterError, load_filter


def test_a_filter_file_with_faults_is_refused_with_all_of_them(tmp_path):
    """Expressions that do not compile or capture nobody, each with its text."""
    (tmp_path / "bad.conf").write_text(
        "[Definition]\nprefregex = ^(\nmaxlines = many\n"
        "failregex = ^x $\n  ^[ <HOST>\n  ^fine <HOST>\n"
    )
    with pytest.raises(FilterError) as caught:
        load_filter("bad", [tmp_path])
    keys = [fault.key for fault in caught.value.faults]
    assert (
        keys == ["[Definition] maxlines", "[Definition] prefregex"] + ["[Definition] failregex"] * 2
    )
    for call in ("gone", "../bad", "bad[x", ""):
        with pytest.raises(FilterError):
            load_filter(call, [tmp_path])


def test_the_name_of_a_filter_has_one_spelling(tmp_path):
    """So that jail and source meet, however each of them writes the options."""
    (tmp_path / "x.conf").write_text("[Definition]\nfailregex = ^<a><b> <ADDR>$\n")
    names = {load_filter(call, [tmp_path]).name for call in ("x[b=2,a=1]", 'x[a="1"][b=2]')}
    assert names == {"x[a=1, b=2]"}
