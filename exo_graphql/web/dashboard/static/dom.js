// Building and updating the page. Data from the server becomes text nodes and attributes, never markup.

/**
 * Creates an element. In `attributes`, a function is a listener for the event of that name, null and false are left
 * out, and true is an attribute without a value.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else attribute(element, name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Sets an attribute if it differs; null and false remove it. */
export function attribute(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else {
    const text = value === true ? "" : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

/** Sets an element's text if it differs; an empty text hides the element. */
export function text(element, value) {
  const wanted = value ?? "";
  if (element.textContent !== wanted) element.textContent = wanted;
  element.hidden = wanted === "";
}

/** Sets the text of a live region. It stays visible while empty: screen readers ignore a region that was hidden. */
export function say(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

/** Sets a figure's text. Unknown (null) is shown as a dash and read out as "unknown". */
export function figure(element, value) {
  attribute(element, "data-unknown", value === null);
  if (value !== null) text(element, value);
  else if (element.childElementCount === 0) {
    element.replaceChildren(h("span", { "aria-hidden": "true" }, "–"), h("span", { class: "unseen" }, "unknown"));
    element.hidden = false;
  }
}

/**
 * Keeps the children of `parent` in step with a list: one element for each item, kept as long as its key is in the
 * list, so that focus, open details and animations last. `create(item)` returns `{ element, update(item) }`. What is in
 * `parent` up to `fixed` stays before them.
 */
export function keyed(parent, keyOf, create, fixed = null) {
  const rows = new Map();
  return (items) => {
    const keys = new Set(items.map(keyOf));
    for (const [key, row] of rows) {
      if (keys.has(key)) continue;
      row.element.remove();
      rows.delete(key);
    }
    let place = fixed === null ? parent.firstElementChild : fixed.nextElementSibling;
    for (const item of items) {
      const key = keyOf(item);
      if (!rows.has(key)) rows.set(key, create(item));
      const { element, update } = rows.get(key);
      update(item);
      if (element === place) place = place.nextElementSibling;
      else parent.insertBefore(element, place);
    }
  };
}

/** A section of the page: its list of rows, and the text for an empty list. */
export function section(id, keyOf, create) {
  const root = document.getElementById(id);
  const update = keyed(root.querySelector(".rows"), keyOf, create);
  const empty = root.querySelector(".empty");
  return (items) => {
    update(items);
    empty.hidden = items.length > 0;
  };
}

/** A bar of shares of a whole, each `[class, percent]`. `role` is progressbar or meter. */
export function bar(role, label) {
  // A meter must have a value: one whose value is unknown is an image that says so.
  const unknown = role === "meter" ? { role: "img", "aria-label": `${label}: unknown` } : { role, "aria-label": label };
  const known = { role, "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 };
  const element = h("div", { class: "bar", "data-role": role, "data-unknown": true, ...unknown });
  const parts = keyed(element, ([name]) => name, ([name]) => {
    const part = h("span", { class: name });
    // As a property: the page's content security policy forbids style attributes.
    return { element: part, update: ([, percent]) => part.style.setProperty("width", `${clamp(percent)}%`) };
  });
  return {
    element,
    /** `percent` is null if unknown; a progress bar then moves. */
    update(percent, description, shares = [["done", percent ?? 0]]) {
      attribute(element, "data-unknown", percent === null);
      for (const name of Object.keys(known)) attribute(element, name, (percent === null ? unknown : known)[name]);
      attribute(element, "aria-valuenow", percent === null ? null : Math.round(clamp(percent)));
      attribute(element, "aria-valuetext", percent === null && role === "meter" ? null : description);
      parts(shares);
    },
  };
}

function clamp(percent) {
  return Math.min(100, Math.max(0, percent));
}
