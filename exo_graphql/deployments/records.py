"""A deployment as it is stored: as JSON and back."""

import logging

import orjson
from pydantic import TypeAdapter, ValidationError

from exo_graphql.deployments.deployment import Deployment
from exo_graphql.storage import Entry

log = logging.getLogger(__name__)


def encode(sequence: int, deployment: Deployment) -> Entry:
    """The deployment as JSON. A deployment counts as active for as long as it is kept."""
    body = orjson.dumps(_DEPLOYMENT.dump_python(deployment, mode="json"))
    return Entry(sequence, deployment.uid, active=True, record=body)


def decode(entry: Entry) -> Deployment | None:
    """The deployment; None where this version cannot read it. The entry is kept, and nothing is done for it."""
    try:
        return _DEPLOYMENT.validate_json(entry.record)
    except ValidationError:
        log.exception("Deployment %s cannot be read. It is kept as it is, and nothing is done for it.", entry.id)
        return None


_DEPLOYMENT = TypeAdapter(Deployment)
