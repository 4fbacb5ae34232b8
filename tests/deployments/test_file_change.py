"""What a deployments file changes in what is stored."""

from dataclasses import replace

from exo_graphql.deployments.deployment import Deployment, ManagedBy, Pause, Spec
from exo_graphql.deployments.file_change import Clash, Declared, FileChange, file_change
from exo_graphql.deployments.validation import MAX_DEPLOYMENTS

X, Y = Spec("org/x"), Spec("org/y")


def stored(name: str, spec: Spec, text: str | None = None, **more: object) -> Deployment:
    managed_by = ManagedBy.API if text is None else ManagedBy.FILE
    return Deployment(name, f"uid-{name}", spec, managed_by=managed_by, declared=text, **more)  # type: ignore[arg-type]


def after(known: list[Deployment], *tables: Declared) -> dict[str, Deployment]:
    """What is stored after the change."""
    change = file_change(known, tables, "d.toml")
    assert isinstance(change, FileChange), change
    kept = [deployment for deployment in known if deployment.uid not in change.forgotten]
    changed = [change.changes[d.uid](d) if d.uid in change.changes else d for d in kept]
    return {deployment.name: deployment for deployment in (*changed, *change.added)}


def test_a_new_table_is_a_new_deployment_of_the_file() -> None:
    (made,) = after([], Declared("a", "x", X)).values()
    assert (made.name, made.spec, made.managed_by, made.declared) == ("a", X, ManagedBy.FILE, "x")


def test_an_unchanged_table_changes_nothing_and_ends_no_pause() -> None:
    paused = stored("a", X, "x", pause=Pause("Paused by a person."))
    assert after([paused], Declared("a", "x", None)) == {"a": paused}


def test_a_table_that_changed_is_another_generation_and_ends_a_pause() -> None:
    paused = stored("a", X, "x", pause=Pause("Paused by a person."), owned=("i",), attempts=3)
    changed = after([paused], Declared("a", "x2", replace(X, priority=1)))["a"]
    assert (changed.generation, changed.pause, changed.attempts, changed.owned) == (2, None, 0, ("i",))
    assert changed.declared == "x2"


def test_a_deployment_of_the_api_becomes_the_file_s_and_keeps_what_it_has_loaded() -> None:
    taken = after([stored("a", X, owned=("i",))], Declared("a", "x", X))["a"]
    assert (taken.uid, taken.managed_by, taken.generation, taken.owned) == ("uid-a", ManagedBy.FILE, 1, ("i",))


def test_what_vanishes_is_paused_and_becomes_the_api_s() -> None:
    known = [stored("a", X, "x", owned=("i",)), stored("b", Y)]
    left = after(known)
    assert left["b"] == known[1]
    assert (left["a"].managed_by, left["a"].declared, left["a"].owned) == (ManagedBy.API, None, ("i",))
    assert left["a"].pause == Pause("It is not declared in d.toml any more.")
    assert left["a"].spec == X


def test_what_vanished_and_returns_is_the_file_s_again_and_not_paused() -> None:
    known = [stored("a", X, "x")]
    again = after(list(after(known).values()), Declared("a", "x", X))["a"]
    assert (again.managed_by, again.pause, again.generation) == (ManagedBy.FILE, None, 1)


def test_a_table_that_is_renamed_keeps_its_instances() -> None:
    renamed = after([stored("a", X, "x", owned=("i",))], Declared("b", "x", X))
    assert renamed.keys() == {"b"}
    assert (renamed["b"].uid, renamed["b"].owned, renamed["b"].generation) == ("uid-a", ("i",), 1)


def test_a_model_that_goes_over_to_another_table_keeps_its_instances() -> None:
    known = [stored("a", X, "x", owned=("i",)), stored("b", Y, "y", owned=("j",))]
    moved = after(known, Declared("b", "x", X))
    assert moved.keys() == {"b"}
    assert (moved["b"].uid, moved["b"].spec, moved["b"].owned) == ("uid-b", X, ("j", "i"))


def test_two_tables_may_exchange_their_models() -> None:
    known = [stored("a", X, "x"), stored("b", Y, "y")]
    exchanged = after(known, Declared("a", "y", Y), Declared("b", "x", X))
    assert (exchanged["a"].spec, exchanged["b"].spec) == (Y, X)


def test_a_model_has_one_deployment() -> None:
    twice = file_change([], (Declared("a", "x", X), Declared("b", "x", X)), "d.toml")
    assert isinstance(twice, Clash)
    assert twice.name == "b"
    taken = file_change([stored("c", X)], (Declared("a", "x", X),), "d.toml")
    assert isinstance(taken, Clash)
    assert "undeploy c --keep" in taken.suggestion


def test_what_is_deleted_and_still_loaded_is_in_nobody_s_way() -> None:
    gone = stored("a", X, deleted=True)
    change = file_change([gone], (Declared("a", "x", X),), "d.toml")
    assert isinstance(change, FileChange)
    assert [made.name for made in change.added] == ["a"]


def test_no_more_deployments_than_the_api_allows() -> None:
    tables = tuple(Declared(f"d{n}", "", Spec(f"m{n}")) for n in range(MAX_DEPLOYMENTS + 1))
    assert isinstance(file_change([], tables, "d.toml"), Clash)
    assert isinstance(file_change([], tables[1:], "d.toml"), FileChange)
