// Tables of class "sort": a click on a head sorts by its column (numbers by data-value), a second one the other way; long ones get a field that
// keeps the rows with all its words. What a chart's `title` says is shown where the pointer is, at once, and on a touch.
const FROM = 8; // rows, for a field
for (const table of document.querySelectorAll("table.sort")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (head.classList.contains("chart")) return;
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.ariaSort !== "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const order = (a, b) => {
        const [x, y] = [key(a), key(b)];
        return x !== "" && y !== "" && !isNaN(x) && !isNaN(y) ? x - y : x.localeCompare(y);
      };
      body.append(...[...body.rows].sort((a, b) => (down ? order(b, a) : order(a, b))));
    });
  });
  if (body.rows.length >= FROM) addFilter(table, body);
}

function addFilter(table, body) {
  const bar = document.createElement("div");
  const field = document.createElement("input");
  const told = document.createElement("span");
  const wide = table.closest(".wide") ?? table;
  bar.className = "filter";
  field.type = "search";
  field.placeholder = "Filter rows";
  field.ariaLabel = `Filter rows: ${wide.ariaLabel ?? ""}`;
  told.className = "soft";
  told.role = "status";
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    const left = [...body.rows].filter((row) => !row.hidden).length;
    told.textContent = words.length ? `${left} of ${body.rows.length} rows` : "";
  });
  bar.append(field, told);
  wide.before(bar);
}

const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
document.body.append(tip);
for (const title of document.querySelectorAll("svg title")) {
  title.parentNode.dataset.tip = title.textContent;
  title.remove();
}
for (const cell of document.querySelectorAll("td[title]")) {
  cell.dataset.tip = cell.title;
  cell.removeAttribute("title");
}
function showTip(event) {
  const at = event.target.closest?.("[data-tip]");
  tip.hidden = !at;
  if (!at) return;
  tip.textContent = at.dataset.tip;
  const left = Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8);
  const above = event.clientY - tip.offsetHeight - 10;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${above > 8 ? above : event.clientY + 18}px`;
}
document.addEventListener("pointermove", showTip);
document.addEventListener("pointerdown", showTip);
document.addEventListener("scroll", () => (tip.hidden = true), true);
