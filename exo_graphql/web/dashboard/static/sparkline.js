// Lines of values over time, as SVG paths.

import { px, s } from "./svg.js";

/**
 * The path of a line through `values`, from `low` at the bottom to `high` at the top. Null leaves a gap; a value between
 * two gaps is a dot.
 */
export function pathOf(values, { low, high, width, height }) {
  const step = width / Math.max(1, values.length - 1);
  const range = high - low || 1;
  let path = "";
  values.forEach((value, number) => {
    if (value === null) return;
    const begins = (values[number - 1] ?? null) === null;
    const y = height - (Math.min(1, Math.max(0, (value - low) / range)) * height);
    path += `${begins ? "M" : "L"}${px(number * step)} ${px(y)}`;
    if (begins && (values[number + 1] ?? null) === null) path += "h0.1";
  });
  return path;
}

/** Lowest and highest value: `[low, high]`; null where there is none. */
export function extent(values) {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : [Math.min(...known), Math.max(...known)];
}

/** A small line beside a figure, for the eye alone: the figure and the chart say it in words. */
export function sparkline() {
  const [width, height] = [120, 18];
  const line = s("path", { class: "line" });
  const element = s("svg", { class: "spark", viewBox: `0 -1 ${width} ${height + 2}`, preserveAspectRatio: "none", "aria-hidden": "true" }, line);
  return {
    element,
    update(values, [low, high]) {
      line.setAttribute("d", pathOf(values, { low, high, width, height }));
    },
  };
}
