"""What reaches the terminal."""

from exo_graphql.cli.terminal import clean


def test_control_characters_in_what_a_node_says_do_not_reach_the_terminal() -> None:
    data = {"name": "Mac\x1b[31m\x07", "list": ["a\nb", "c\u202ed", 1, None, True], "µ": "Größe 80 °C"}
    assert clean(data) == {"name": "Mac [31m ", "list": ["a b", "c d", 1, None, True], "µ": "Größe 80 °C"}
