// Keys and the boxes that switch evidence on and off; the pages work without this.
const typing = (target) => target.matches("textarea, input[type=search], input[type=number], input:not([type]), select");
const press = (id) => document.getElementById(id)?.click();
const keys = document.getElementById("keys");
let at = -1;

function step(by) {
  const items = [...document.querySelectorAll(".item, mark:not(.off)")];
  if (!items.length) return;
  at = Math.min(Math.max(at + by, 0), items.length - 1);
  items.forEach((item, place) => item.classList.toggle("at", place === at));
  items[at].scrollIntoView({ block: "center" });
  if (items[at].matches("a")) items[at].focus();
}

function tick(key) {
  const box = document.querySelector(`#label [data-key="${key}"]`);
  if (!box) return false;
  box.click();
  return true;
}

// "None of these" and a pattern exclude each other.
document.getElementById("label")?.addEventListener("change", ({ target }) => {
  if (target.name !== "pattern" || !target.checked) return;
  for (const box of document.querySelectorAll("#label [name=pattern]")) {
    if (box !== target && (box.dataset.key === "0") !== (target.dataset.key === "0")) box.checked = false;
  }
});

document.querySelectorAll("[data-evidence]").forEach((box) =>
  box.addEventListener("change", () => {
    const on = [...document.querySelectorAll("[data-evidence]:checked")].map((each) => `e${each.dataset.evidence}`);
    for (const mark of document.querySelectorAll("mark")) {
      mark.classList.toggle("off", !on.some((name) => mark.classList.contains(name)));
    }
  }),
);

document.getElementById("help").addEventListener("click", () => keys.showModal());

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
  if (typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const actions = {
    j: () => step(1),
    k: () => step(-1),
    n: () => press("next"),
    p: () => press("previous"),
    s: () => press("show"),
    b: () => press("back"),
    m: () => document.getElementById("note")?.focus(),
    "/": () => document.querySelector("[type=search]").select(),
    "?": () => keys.showModal(),
  };
  const action = actions[event.key];
  if (action) action();
  else if (event.key === "Enter" && !event.target.matches("a, button, summary")) press("save-next");
  else if (!tick(event.key)) return;
  event.preventDefault();
});
