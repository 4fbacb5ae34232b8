// SVG elements: as `h` in dom.js makes those of HTML.

import { attribute } from "./dom.js";

const NAMESPACE = "http://www.w3.org/2000/svg";

/** Creates an SVG element. In `attributes`, a function is a listener, null and false are left out. */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else attribute(element, name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A number for an attribute: a tenth of a pixel is enough, and short. */
export function px(value) {
  return Math.round(value * 10) / 10;
}
