// The figures of a node: how each is read, written, and scaled in a chart.

import { amount, part } from "./format.js";
import { extent } from "./sparkline.js";

/** Those with a history. `scale(node, values)` is `[low, high]` of the chart, `short` what fits into a table. */
export const CHARTED = [
  {
    key: "ramUsedGb",
    name: "Memory",
    unit: "GiB",
    digits: 1,
    read: (node) => (node.ramTotalGb === null ? null : part(node.ramUsedGb, node.ramTotalGb)),
    short: (node) => (node.ramTotalGb === null ? null : `${amount(node.ramUsedGb, "") ?? "–"} of ${amount(node.ramTotalGb, "GiB")}`),
    scale: (node, values) => [0, node.ramTotalGb ?? highest(values, 1)],
  },
  { key: "gpuUsagePercent", name: "GPU", unit: "%", read: (node) => amount(node.gpuUsagePercent, "%"), scale: () => [0, 100] },
  {
    key: "temperatureC",
    name: "Temp.",
    unit: "°C",
    read: (node) => amount(node.temperatureC, "°C"),
    scale: (_, values) => [Math.min(20, extent(values)?.[0] ?? 20), Math.max(100, highest(values, 100))],
  },
  // No machine reports its limit: the highest of the hour, and no less than what makes the noise of an idle one small.
  { key: "powerWatts", name: "Power", unit: "W", read: (node) => amount(node.powerWatts, "W"), scale: (_, values) => [0, highest(values, 40) * 1.05] },
];

/** The others. */
export const PLAIN = [
  { key: "cpuPUsagePercent", name: "CPU", read: (node) => amount(node.cpuPUsagePercent, "%") },
  { key: "diskAvailableGb", name: "Disk free", read: (node) => amount(node.diskAvailableGb, "GiB") },
];

function highest(values, least) {
  return Math.max(least, extent(values)?.[1] ?? least);
}
