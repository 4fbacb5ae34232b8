"""The links between nodes, compared with their best so far."""

from datetime import datetime

import pytest

from exo_graphql.cluster.links import LinkMedium, LinkStatus
from tests.support.documents import Json, Story, linked
from tests.support.recordings import moment

UP, DEGRADED, ONE_WAY, LOST = LinkStatus.UP, LinkStatus.DEGRADED, LinkStatus.ONE_WAY, LinkStatus.LOST
Seen = tuple[LinkMedium | None, LinkMedium, LinkStatus, datetime | None]


class Observer(Story):
    """A story, and what it shows of its one link."""

    def link(self, t: float, state: Json) -> Seen:
        """The link after this state: medium, best medium, status, and since when."""
        (link,) = self.see(t, state).links
        assert link.node_ids == ("n1", "n2")
        return link.medium, link.best_medium, link.status, link.since


def one_way(state: Json) -> Json:
    del state["topology"]["connections"]["n2"]
    return state


@pytest.mark.parametrize(
    ("before", "after", "medium", "best", "status"),
    [
        (linked("ethernet"), linked("ethernet"), LinkMedium.ETHERNET, LinkMedium.ETHERNET, UP),
        (linked("wifi"), linked("thunderbolt"), LinkMedium.THUNDERBOLT, LinkMedium.THUNDERBOLT, UP),
        (linked("thunderbolt"), linked("wifi"), LinkMedium.WIFI, LinkMedium.THUNDERBOLT, DEGRADED),
        (linked("thunderbolt", rdma=True), linked("thunderbolt"), LinkMedium.THUNDERBOLT, LinkMedium.RDMA, DEGRADED),
        (linked("thunderbolt"), linked("unknown"), LinkMedium.UNKNOWN, LinkMedium.THUNDERBOLT, UP),
        (linked("wifi"), one_way(linked("wifi")), LinkMedium.WIFI, LinkMedium.WIFI, ONE_WAY),
        (linked("wifi"), linked(None), None, LinkMedium.WIFI, LOST),
    ],
)
def test_a_link_is_compared_with_its_best(
    before: Json, after: Json, medium: LinkMedium | None, best: LinkMedium, status: LinkStatus
) -> None:
    observer = Observer()
    observer.see(0, before)
    since = None if status is UP else moment(1).at
    assert observer.link(1, after) == (medium, best, status, since)
    # It says since when, not when it was last seen so.
    assert observer.link(7, after) == (medium, best, status, since)
    assert observer.link(9, linked("thunderbolt", rdma=True))[2:] == (UP, None)


def test_the_version_increases_exactly_when_the_links_change() -> None:
    story = Story()
    versions = [
        story.see(t, linked(kind)).links_version
        for t, kind in enumerate(["thunderbolt", "thunderbolt", "wifi", "wifi", None, "thunderbolt"])
    ]
    assert versions == [0, 0, 1, 1, 2, 3]


def test_a_link_to_a_node_that_has_left_is_none() -> None:
    story = Story()
    story.see(0, linked("wifi", shared=False))
    left = linked(None, shared=False)
    left["topology"]["nodes"].remove("n2")
    assert story.see(1, left).links == ()
