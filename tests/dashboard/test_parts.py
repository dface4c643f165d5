"""The pieces of the page that are made of text."""

from __future__ import annotations

from dash import dcc

from bft_nas.dashboard._parts import long_table


def test_a_long_table_shows_texts_as_they_are() -> None:
    box = long_table(["Layer", "MACs"], [["a|b *c* <i>d</i>", "1,024"], ["two\nlines_", ""]], "The layers")
    text = box.children
    assert isinstance(text, dcc.Markdown)
    assert text.children.splitlines() == [
        "| Layer | MACs |",
        "| --- | --- |",
        r"| a\|b \*c\* \<i\>d\</i\> | 1,024 |",
        r"| two lines\_ |  |",
    ]
