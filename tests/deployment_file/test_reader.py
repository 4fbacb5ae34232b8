"""What a file declares, and where and why it is refused."""

import pytest
from graphql import GraphQLInputObjectType, GraphQLNonNull, GraphQLSchema, build_schema, print_ast

from exo_graphql.deployment_file.arguments import KEYS, NOT_KEYS, WINDOW_KEYS, Key, Table
from exo_graphql.deployment_file.reader import MAX_BYTES, InvalidFile, read
from tests.support.readme import ROOT


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema((ROOT / "schema.graphql").read_text(encoding="utf-8"))


def test_the_keys_are_the_arguments_of_the_mutation_with_their_defaults(schema: GraphQLSchema) -> None:
    assert schema.mutation_type is not None
    arguments = schema.mutation_type.fields["applyDeployment"].args
    assert {key.name for key in KEYS} | NOT_KEYS.keys() == arguments.keys()
    for key in KEYS:
        assert isinstance(arguments[key.name].type, GraphQLNonNull) == key.required
        if key.default is not None:
            written = print_ast(arguments[key.name].ast_node.default_value)
            assert written == ("[]" if key.default == () else str(key.default))


def test_the_choices_and_the_keys_of_a_window_are_those_of_the_schema(schema: GraphQLSchema) -> None:
    window = schema.type_map["WindowInput"]
    assert isinstance(window, GraphQLInputObjectType)
    assert {key.name for key in WINDOW_KEYS} == window.fields.keys()
    required = {name for name, field in window.fields.items() if isinstance(field.type, GraphQLNonNull)}
    assert {key.name for key in WINDOW_KEYS if key.required} == required
    for key, enum in (("sharding", "ShardingPreference"), ("instanceType", "InstanceTypePreference")):
        assert set(_key(key).choices) == schema.type_map[enum].values.keys()  # type: ignore[attr-defined]


def _key(name: str) -> Key:
    return next(key for key in KEYS if key.name == name)


def test_a_file_that_uses_everything() -> None:
    text = """
        # By night
        [deployments.night]
        model = "Kimi-K2.5"
        replicas = 1
        minNodes = 2
        sharding = "tensor"
        instanceType = "MLX_JACCL"
        nodes = ["Mac Studio 1", "Mac Studio 2"]
        priority = -3
        idleUnloadSeconds = 600
        drainSeconds = 0
        schedule = [{ cron = "0 23 * * *", durationMinutes = 420, timeZone = "Europe/Berlin", readyBy = true }]

        [deployments."coder.30b"]
        model = "Qwen3"
        [[deployments."coder.30b".schedule]]
        cron = "0 6 * * 1-5"
        durationMinutes = 60
    """
    night, coder = read(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()).tables
    assert night == Table(
        "night",
        {
            "model": "Kimi-K2.5",
            "replicas": 1,
            "minNodes": 2,
            "sharding": "TENSOR",
            "instanceType": "MLX_JACCL",
            "nodes": ["Mac Studio 1", "Mac Studio 2"],
            "priority": -3,
            "idleUnloadSeconds": 600,
            "drainSeconds": 0,
            "schedule": [{"cron": "0 23 * * *", "durationMinutes": 420, "timeZone": "Europe/Berlin", "readyBy": True}],
        },
    )
    assert coder == Table("coder.30b", {"model": "Qwen3", "schedule": [{"cron": "0 6 * * 1-5", "durationMinutes": 60}]})


@pytest.mark.parametrize("text", ["[deployments]", "# nothing yet\n"])
def test_a_file_may_declare_nothing(text: str) -> None:
    assert read(text.encode()).tables == ()


A = '[deployments.a]\nmodel = "m"\n'


@pytest.mark.parametrize(
    ("text", "line", "key", "advice"),
    [
        (A + "min_nodes = 2", 3, "deployments.a.min_nodes", "Write minNodes."),
        (A + "shedule = []", 3, "deployments.a.shedule", "Write schedule."),
        (A + "colour = 2", 3, "deployments.a.colour", "The keys are model, replicas, "),
        (A + "dryRun = true", 3, "deployments.a.dryRun", "--dry-run"),
        (A + "ifGeneration = 2", 3, "deployments.a.ifGeneration", "--if-generation"),
        (A + 'name = "b"', 3, "deployments.a.name", "[deployments.NAME]"),
        (A + 'replicas = "2"', 3, "deployments.a.replicas", "a whole number"),
        (A + "replicas = true", 3, "deployments.a.replicas", "a whole number"),
        (A + "replicas = 2.0", 3, "deployments.a.replicas", "a whole number"),
        (A + "priority = 2147483648", 3, "deployments.a.priority", "a smaller number"),
        (A + "priority = 2026-11-26", 3, "deployments.a.priority", "a whole number"),
        (A + 'nodes = "Mac mini"', 3, "deployments.a.nodes", "an array of strings"),
        (A + "nodes = [1]", 3, "deployments.a.nodes", "an array of strings"),
        (A + 'sharding = "diagonal"', 3, "deployments.a.sharding", "AUTO, PIPELINE, TENSOR"),
        (A + 'schedule = "0 6 * * *"', 3, "deployments.a.schedule", "an array of tables"),
        (
            A + 'schedule = [\n{cron = "a", durationMinutes = 1},\n\n{cron = "b"},\n]',
            6,
            "deployments.a.schedule[1]",
            "",
        ),
        (A + 'schedule = [{cron = "a", duration = 1}]', 3, "deployments.a.schedule[0].duration", "durationMinutes"),
        (A + '[[deployments.a.schedule]]\ncron = "a"\ndurationMinutes = "7h"', 5, "", "a whole number"),
        ("[deployments.a]\n\n[deployments.b]\n" + A[16:], 1, "deployments.a", "Give model"),
        (A + "\n" + A, 4, "deployments.a", "Leave one of the two out."),
        (A + 'model = "n"', 3, "model", "Leave one of the two out."),
        ('[deployment.a]\nmodel = "m"', 1, "deployment", "Write [deployments.a]."),
        ('\n[night]\nmodel = "m"', 2, "night", "Write [deployments.night]."),
        ('[[deployments]]\nname = "a"', 1, "deployments", "[deployments.NAME]"),
        ("[deployments]\na = 3", 2, "deployments.a", "[deployments.NAME]"),
        ("[deployments]\n\na.modle = 'x'", 3, "deployments.a.modle", "Write model."),
        ("deployments = 3", 1, "deployments", "[deployments.NAME]"),
        (A + "replicas", 3, "", "[deployments.night]"),
        (A + 'model = "', 3, "", "[deployments.night]"),
        (A + "priority = " + "9" * 5000, 3, "", ""),
        ("a = " + "[" * 100_000, None, "", ""),
        ("  \n", None, "", "[deployments]"),
        ("", None, "", "[deployments]"),
    ],
)
def test_what_is_refused_and_where(text: str, line: int | None, key: str, advice: str) -> None:
    with pytest.raises(InvalidFile) as refused:
        read(text.encode())
    assert refused.value.line == line
    assert refused.value.key == key or not key
    assert advice in refused.value.suggestion
    assert refused.value.message
    assert (f"line {line}" in str(refused.value)) == (line is not None)


def test_what_is_not_text_or_too_long_is_refused() -> None:
    with pytest.raises(InvalidFile) as refused:
        read(b'[deployments.a]\nmodel = "\xff"')
    assert (refused.value.line, "UTF-8" in refused.value.suggestion) == (2, True)
    with pytest.raises(InvalidFile, match="bytes"):
        read(b"#" * (MAX_BYTES + 1))


def test_a_key_is_found_in_a_file_of_a_thousand_deployments() -> None:
    text = "".join(f'[deployments.d{number}]\nmodel = "m"\nschedule = [\n]\n' for number in range(1000))
    with pytest.raises(InvalidFile) as refused:
        read((text + A + "replicas = 'two'").encode())
    assert refused.value.line == 4003
