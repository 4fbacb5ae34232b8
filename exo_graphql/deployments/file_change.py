"""How a deployments file changes the stored deployments. Pure.

- A table that is new, or differs from when it was last applied, is applied.
- An unchanged table changes nothing: reading the file again ends no pause.
- A deployment that the API declared under the name of a table becomes the file's.
- A deployment whose table has vanished is paused, and becomes the API's, which may then resume or delete it. Where
  another table has its model, the table was renamed: that one takes over its instances.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from exo_graphql.deployments.deployment import Deployment, ManagedBy, Pause, Spec
from exo_graphql.deployments.validation import MAX_DEPLOYMENTS


@dataclass(frozen=True, slots=True)
class Declared:
    """A table. `spec` is None where the table has not changed since it was last applied."""

    name: str
    text: str
    """The arguments of the table, as JSON."""
    spec: Spec | None


@dataclass(frozen=True, slots=True)
class FileChange:
    """What the file changes. `messages` are sentences for the log."""

    changes: Mapping[str, Callable[[Deployment], Deployment]]
    """By uid."""
    added: tuple[Deployment, ...]
    forgotten: tuple[str, ...]
    """Uids of deployments whose model and instances another one has taken over."""
    messages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Clash:
    """Why the file is refused: the table `name` contradicts another table or deployment."""

    name: str
    message: str
    suggestion: str


def file_change(stored: Sequence[Deployment], tables: Sequence[Declared], file_name: str) -> FileChange | Clash:
    """The change that makes the stored deployments what the file declares."""
    known = {deployment.name: deployment for deployment in stored if not deployment.deleted}
    names = {table.name for table in tables}
    clash = _clash(known, tables, names)
    if clash is not None:
        return clash
    vanished = {
        deployment.spec.model_id: deployment
        for deployment in known.values()
        if deployment.managed_by is ManagedBy.FILE and deployment.name not in names
    }
    changes: dict[str, Callable[[Deployment], Deployment]] = {}
    added: list[Deployment] = []
    forgotten: list[str] = []
    messages: list[str] = []
    for table in tables:
        spec = table.spec
        if spec is None:
            continue
        before = known.get(table.name)
        source = vanished.pop(spec.model_id, None)
        if before is None and source is not None:
            changes[source.uid] = _renamed(table, spec)
            messages.append(f"Deployment {source.name} is called {table.name} now.")
        elif before is None:
            added.append(_declared(table)(Deployment(table.name, str(uuid4()), spec)))
            messages.append(f"Deployment {table.name} of {spec.model_id} is declared.")
        else:
            changes[before.uid] = _declared(table, spec, () if source is None else source.owned)
            forgotten += [] if source is None else [source.uid]
            messages.append(f"Deployment {table.name} of {spec.model_id} is declared.")
    for deployment in vanished.values():
        changes[deployment.uid] = _withdrawn(file_name)
        messages.append(f"Deployment {deployment.name} is not declared any more: it is paused, and stays as it is.")
    return FileChange(changes, tuple(added), tuple(forgotten), tuple(messages))


def _clash(known: Mapping[str, Deployment], tables: Sequence[Declared], names: set[str]) -> Clash | None:
    models = {
        deployment.spec.model_id: deployment.name
        for deployment in known.values()
        if deployment.name not in names and deployment.managed_by is ManagedBy.API
    }
    for table in tables:
        model_id = (table.spec or known[table.name].spec).model_id
        other = models.setdefault(model_id, table.name)
        if other != table.name:
            return Clash(
                table.name,
                f"Deployment {other} has {model_id} already.",
                "For more copies of a model, set its `replicas`."
                if other in names
                else f"Delete that one, which need not unload the model: exo-graphql undeploy {other} --keep.",
            )
    if len(names | known.keys()) > MAX_DEPLOYMENTS:
        return Clash(tables[-1].name, f"These are more than {MAX_DEPLOYMENTS} deployments.", "Delete some.")
    return None


def _declared(
    table: Declared, spec: Spec | None = None, owned: tuple[str, ...] = ()
) -> Callable[[Deployment], Deployment]:
    def change(newest: Deployment) -> Deployment:
        changed = newest if spec is None else newest.with_spec(spec)
        return replace(
            changed,
            managed_by=ManagedBy.FILE,
            declared=table.text,
            owned=tuple(dict.fromkeys((*changed.owned, *owned))),
        )

    return change


def _renamed(table: Declared, spec: Spec) -> Callable[[Deployment], Deployment]:
    return lambda newest: replace(_declared(table, spec)(newest), name=table.name)


def _withdrawn(file_name: str) -> Callable[[Deployment], Deployment]:
    because = f"It is not declared in {file_name} any more." if file_name else "There is no deployments file any more."
    return lambda newest: replace(
        newest, managed_by=ManagedBy.API, declared=None, changed_by=None, pause=Pause(because)
    )
