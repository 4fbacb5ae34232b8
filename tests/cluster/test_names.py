"""Names of models and nodes, as a person or an agent writes them."""

import pytest

from exo_graphql.cluster.names import MAX_CANDIDATES, Ambiguous, Unknown, find_model, find_node, label
from exo_graphql.cluster.state import ModelCard, Node

MODELS = {
    id_: ModelCard(id_)
    for id_ in (
        "mlx-community/Qwen3-30B-A3B-4bit",
        "mlx-community/Qwen3-30B-A3B-8bit",
        "mlx-community/Llama-3.3-70B",
        "other/llama-3.3-70b",
        "other/Llama-3.3-70B-instruct",
        "bare",
    )
}


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("mlx-community/Qwen3-30B-A3B-4bit", "mlx-community/Qwen3-30B-A3B-4bit"),
        ("MLX-COMMUNITY/qwen3-30b-a3b-4BIT", "mlx-community/Qwen3-30B-A3B-4bit"),
        ("Qwen3-30B-A3B-8bit", "mlx-community/Qwen3-30B-A3B-8bit"),
        ("  qwen3-30b-a3b-8bit ", "mlx-community/Qwen3-30B-A3B-8bit"),
        ("other/llama-3.3-70b", "other/llama-3.3-70b"),
        ("BARE", "bare"),
    ],
)
def test_a_model_is_found_by_full_id_or_short_name(name: str, id_: str) -> None:
    assert find_model(MODELS, name) == MODELS[id_]


def test_a_short_name_of_several_models_is_ambiguous() -> None:
    found = find_model(MODELS, "Llama-3.3-70B")
    assert found == Ambiguous("Llama-3.3-70B", ("mlx-community/Llama-3.3-70B", "other/llama-3.3-70b"))


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("Qwen3-30B-A3B-6bit", "mlx-community/Qwen3-30B-A3B-"),
        ("mlx-community/Qwen3-30B", "mlx-community/Qwen3-30B-A3B-"),
        ("llama-3.3", "mlx-community/Llama-3.3-70B"),
    ],
)
def test_an_unknown_name_is_answered_with_close_ones(name: str, first: str) -> None:
    found = find_model(MODELS, name)
    assert isinstance(found, Unknown)
    assert found.candidates[0].startswith(first)
    assert set(found.candidates) <= set(MODELS)


@pytest.mark.parametrize("name", ["", " ", "zzzzzz", "q" * 100_000])
def test_a_name_like_none_has_no_candidates(name: str) -> None:
    assert find_model(MODELS, name) == Unknown(name, ())


def test_no_more_candidates_than_help() -> None:
    many = {f"org/model-{n}": ModelCard(f"org/model-{n}") for n in range(50)}
    found = find_model(many, "model")
    assert isinstance(found, Unknown)
    assert len(found.candidates) == MAX_CANDIDATES


def test_a_node_is_found_by_id_or_friendly_name_and_the_id_wins() -> None:
    studio, mini = Node("aa11", "Mac Studio"), Node("bb22", "aa11")
    assert find_node([studio, mini], "mac studio ") == studio
    assert find_node([studio, mini], "BB22") == mini
    assert find_node([studio, mini], "aa11") == studio


def test_a_friendly_name_of_two_nodes_is_ambiguous_and_offers_their_ids() -> None:
    members = [Node("aa11", "Mac Studio"), Node("bb22", "mac studio"), Node("cc33", "mini"), Node("dd44")]
    assert find_node(members, "Mac Studio") == Ambiguous("Mac Studio", ("aa11", "bb22"))
    # What is offered leads to a node each.
    unknown = find_node(members, "spark")
    assert unknown == Unknown("spark", ("aa11", "bb22", "mini", "dd44"))
    assert [find_node(members, name) for name in unknown.candidates] == members


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_is_no_node_without_a_name(name: str) -> None:
    assert find_node([Node("aa11")], name) == Unknown(name, ("aa11",))


def test_a_node_is_called_by_its_id_until_it_has_reported_its_name() -> None:
    assert (label(Node("aa11")), label(Node("aa11", "Mac Studio"))) == ("aa11", "Mac Studio")
