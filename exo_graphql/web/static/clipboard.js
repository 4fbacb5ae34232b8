// Copying to the clipboard. A page on plain HTTP, which most local clusters use, has no navigator.clipboard.

const SHOWN_MS = 2000;

/** Whether the text is on the clipboard now. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelected(text);
  }
}

/** A button that copies what `read()` returns, preceded by where it says whether it could. */
export function copyButton(label, read) {
  const button = document.createElement("button");
  const said = document.createElement("span");
  let timer;
  button.type = "button";
  said.setAttribute("role", "status");
  const say = (words) => {
    said.textContent = words;
    clearTimeout(timer);
    timer = setTimeout(() => said.replaceChildren(), SHOWN_MS);
  };
  button.append(label);
  button.addEventListener("click", async () => say((await copyText(read())) ? "Copied" : "The browser refused"));
  return [said, button];
}

function copySelected(text) {
  const focused = document.activeElement;
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen"; // of both pages; without, the page would scroll to it
  // In an open dialog, what is outside cannot be selected.
  (focused?.closest("dialog") ?? document.body).append(area);
  area.focus({ preventScroll: true });
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  focused?.focus({ preventScroll: true });
  return copied;
}
