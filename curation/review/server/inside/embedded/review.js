// A list of the marks of a trace above its texts, since a long reasoning hides them below many screens: a click, or Alt with the arrow keys,
// goes to one. And "None of these", chosen by its key, goes on to the verdict, so that a clean trace takes three keys.
// Argilla draws marks as CSS highlights named hl-QUESTION-PATTERN, where -2d and -5f stand for "-" and "_".
const EVERY = 400; // milliseconds between two looks at the marks
const LETTERS = 60; // of a mark's words in the list
const AT = "curate-at";

const style = document.createElement("style");
style.textContent = `
  .fields { padding-top: 50px !important; }
  #curate-marks { position: sticky; top: 0; z-index: 2; flex: none; display: flex; gap: 6px; align-items: center; height: 42px; margin-top: -50px; overflow: auto hidden; white-space: nowrap; padding: 4px 8px; background: #fff; border-bottom: 1px solid #d9dee5; font-size: 13px; }
  #curate-marks button { padding: 2px 8px; border: 1px solid #8a94a3; border-radius: 12px; background: #f6f8fa; color: #1c2430; cursor: pointer; font: inherit; text-align: left; }
  #curate-marks button[aria-current=true] { background: #fff3c4; border-color: #8a6d00; }
  ::highlight(${AT}) { background: #ffd84d; color: #1c2430; }`;
document.head.append(style);

let marks = [];
let shown = "";
let at = -1;

function found() {
  const all = [];
  for (const [name, ranges] of CSS.highlights) {
    const parts = name.startsWith("hl-") && name.slice(3).replace(/-([0-9a-f]{2})/g, (_, code) => String.fromCharCode(parseInt(code, 16))).split("-");
    if (parts) for (const range of ranges) all.push({ pattern: parts.slice(1).join("-"), range });
  }
  const before = (a, b) => a.range.compareBoundaryPoints(Range.START_TO_START, b.range);
  return all.filter((mark) => mark.range.startContainer.isConnected && !mark.range.collapsed).sort(before);
}

function label(mark) {
  const words = mark.range.toString().replace(/\s+/g, " ");
  const title = mark.pattern.replaceAll("_", " ");
  return `${title}: ${words.length > LETTERS ? `${words.slice(0, LETTERS)}\u2026` : words}`;
}

function draw() {
  const fields = document.querySelector(".fields");
  if (!CSS.highlights || !fields) return;
  marks = found();
  const texts = marks.map(label);
  const told = JSON.stringify(texts);
  const list = document.getElementById("curate-marks");
  if (told === shown && list?.parentNode === fields) return;
  shown = told;
  at = -1;
  CSS.highlights.delete(AT);
  list?.remove();
  const nav = document.createElement("nav");
  nav.id = "curate-marks";
  nav.ariaLabel = "Marks";
  nav.append(marks.length ? `${marks.length} marked:` : "No marks");
  texts.forEach((text, number) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.addEventListener("click", () => goTo(number));
    nav.append(button);
  });
  const first = fields.firstElementChild;
  const before = first?.getBoundingClientRect().top ?? 0;
  fields.prepend(nav); // into space that is kept for it: nothing may move under a hand that marks
  nav.style.marginBottom = `${before - (first?.getBoundingClientRect().top ?? 0)}px`;
}

function goTo(number) {
  at = (number + marks.length) % marks.length;
  const { range } = marks[at];
  const buttons = [...document.querySelectorAll("#curate-marks button")];
  buttons.forEach((button, n) => (button.ariaCurrent = n === at ? "true" : "false"));
  buttons[at].scrollIntoView({ block: "nearest", inline: "nearest" });
  let box = range.startContainer.parentElement;
  while (box && !(box.scrollHeight > box.clientHeight + 1 && /auto|scroll/.test(getComputedStyle(box).overflowY))) box = box.parentElement;
  const top = box ? box.getBoundingClientRect().top : 0;
  box ??= document.scrollingElement;
  box.scrollBy({ top: range.getBoundingClientRect().top - top - box.clientHeight / 3 });
  CSS.highlights.set(AT, new Highlight(range));
}

document.addEventListener(
  "keydown",
  (event) => {
    const step = event.altKey && { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && marks.length) {
      event.preventDefault();
      event.stopPropagation();
      goTo(at < 0 && step < 0 ? marks.length - 1 : at + step);
    } else if (/^\d$/.test(event.key) && document.activeElement?.id.startsWith("patterns_")) {
      byKey = performance.now();
    }
  },
  true,
);
let byKey = -Infinity;
document.addEventListener("change", (event) => {
  const chosen = event.target.id === "patterns_none" && event.target.checked && performance.now() - byKey < 1000;
  if (chosen) document.getElementById("verdict_keep")?.focus();
});
setInterval(draw, EVERY);
