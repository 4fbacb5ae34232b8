// The topology in words: for screen readers, and for everyone below the drawing.

import { count, label, manner, time, words } from "./format.js";

export const MEDIA = { RDMA: "RDMA", THUNDERBOLT: "Thunderbolt", ETHERNET: "Ethernet", WIFI: "Wi-Fi", UNKNOWN: "medium unknown" };

/** A link as a sentence: Mac mini and spark: lost since 14:03, was Ethernet. */
export function linkWords({ nodes, medium, bestMedium, status, since }) {
  const pair = nodes.map(label).join(" and ");
  switch (status) {
    case "LOST":
      return `${pair}: lost since ${time(since)}${bestMedium === "UNKNOWN" ? "" : `, was ${MEDIA[bestMedium]}`}`;
    case "DEGRADED":
      return `${pair}: ${MEDIA[medium]} since ${time(since)}, was ${MEDIA[bestMedium]}`;
    case "ONE_WAY":
      return `${pair}: ${MEDIA[medium]} in one direction only, since ${time(since)}`;
    default:
      return `${pair}: ${MEDIA[medium]}`;
  }
}

/** The number of links by medium: 1 over RDMA, 5 over Ethernet. */
export function mediaWords(links) {
  const up = links.filter(({ status }) => status !== "LOST");
  const found = Object.keys(MEDIA).map((medium) => [medium, up.filter((link) => link.medium === medium).length]);
  return found.filter(([, number]) => number > 0).map(([medium, number]) => `${number} over ${MEDIA[medium]}`).join(", ");
}

/** The drawing in one sentence. */
export function topologyWords(nodes, links) {
  const worse = links.filter(({ status }) => status !== "UP").length;
  const media = mediaWords(links);
  const parts = [count(nodes.length, "node"), count(links.length, "link") + (media === "" ? "" : `: ${media}`)];
  return `${parts.join(", ")}${worse === 0 ? "" : `, ${worse} worse than before`}.`;
}

/** Where an instance lies: Pipeline over sockets (ring): Mac Studio 1 (layers 0–46), Mac Studio 2 (layers 47–93). */
export function instanceWords(instance, route) {
  const places = route.map((id) => {
    const shard = instance.shards.find(({ node }) => node?.id === id);
    const { startLayer, endLayer } = shard;
    const layers = startLayer === null || endLayer === null || instance.sharding === "TENSOR" ? "" : ` (layers ${startLayer}–${endLayer - 1})`;
    return `${label(shard.node)}${layers}`;
  });
  return `${words(instance.phase)}, ${manner(instance)}: ${places.join(" → ")}`;
}
