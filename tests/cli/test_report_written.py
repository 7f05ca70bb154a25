"""`charlstm report`: a page, and where it is."""

import pytest
from calling import called


def test_the_page_is_written_and_its_place_is_said(trained_run, tmp_path, capsys):
    page = tmp_path / "page.html"
    arguments = ["--text", "The salt\nroad", "--temperature", "0.3", "--temperature", "2", "--length", "20"]
    assert called(["report", str(trained_run.path), *arguments, "--no-baseline", "--no-inside", "-o", str(page)]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    written = page.read_text("utf-8")
    assert "Temperature 0.3" in written and "Temperature 2" in written and "of the text given" in written


@pytest.mark.parametrize(
    "arguments", [["--temperature", "-1"], ["--text", "a", "--file", "b"], ["--passage", "1"], ["--output", "."]]
)
def test_what_is_wrong_is_refused(arguments, capsys):
    assert called(["report", "none", *arguments]) == 2
    assert arguments[0] in capsys.readouterr().err
