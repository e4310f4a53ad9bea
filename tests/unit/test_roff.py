import pytest
from roff import body, inline, literal


def roff(markdown: str) -> list[str]:
    return list(body(markdown))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text", "plain text"),
        ("`--long-option`", "\\fB\\-\\-long\\-option\\fP"),
        ("**bold**, *slanted* and 2*3*4", "\\fBbold\\fP, \\fIslanted\\fP and 2*3*4"),
        ("[the words](docs/a.md#b) stay", "the words stay"),
        ("see getcert-list(1).", "see \\fBgetcert\\-list\\fP(1)."),
        ("a call (1) is none", "a call (1) is none"),
        ("back\\slash ~home ^", "back\\eslash \\(tihome \\(ha"),
        ("café …", "caf\\[u00E9] \\[u2026]"),
        ('`it\'s "~"`', "\\fBit\\(aqs \\(dq\\(ti\\(dq\\fP"),
    ],
)
def test_marks_and_characters_come_out_as_meant(text: str, expected: str) -> None:
    assert inline(text) == expected


def test_a_line_that_begins_like_a_request_to_roff_is_text() -> None:
    assert roff(".TH is text\n\n'so is this") == [".PP", "\\&.TH is text", ".PP", "\\&'so is this"]
    assert roff("```\n.SH\n```")[3] == "\\&.SH"


def test_headings_definitions_and_lists() -> None:
    text = "## Files\n\n**/etc/x**\n: What it\n  is.\n\n- one\n  more\n- two\n"
    assert roff(text) == [
        '.SH "FILES"',
        ".TP",
        "\\fB/etc/x\\fP",
        "What it is.",
        '.IP "\\(bu" 4',
        "one more",
        '.IP "\\(bu" 4',
        "two",
    ]


def test_a_list_may_follow_its_paragraph_at_once() -> None:
    assert roff("These:\n- one\n- two") == [".PP", "These:", '.IP "\\(bu" 4', "one", '.IP "\\(bu" 4', "two"]


def test_a_table_becomes_definitions_with_its_defaults_last() -> None:
    text = "| key in `[a]` | default | |\n| --- | --- | --- |\n| `x` | 5 | how many |\n| `y` | | why |"
    assert roff(text) == [
        '.SS "key in \\fB[a]\\fP"',
        ".TP",
        "\\fBx\\fP",
        "How many. Default: 5.",
        ".TP",
        "\\fBy\\fP",
        "Why.",
    ]


def test_code_keeps_its_lines_and_marks() -> None:
    assert roff("Text:\n```sh\na --b  `c`\n```\nmore") == [
        ".PP",
        "Text:",
        ".PP",
        ".RS 4",
        ".EX",
        "a \\-\\-b  \\(gac\\(ga",
        ".EE",
        ".RE",
        ".PP",
        "more",
    ]


def test_literal_text_has_no_typography() -> None:
    assert literal("-x 'y'") == "\\-x \\(aqy\\(aq"
