// The page without this script is whole: every table, drawing and word is plain HTML. This filters, sorts and hands out.
const root = document.documentElement;
root.classList.add("scripted");
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// Colours: what the system wants, until the button says otherwise.
const system = matchMedia("(prefers-color-scheme: dark)");
const toggle = document.getElementById("theme");
const dark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
const label = () => toggle.setAttribute("aria-pressed", String(dark()));
toggle.addEventListener("click", () => {
  root.dataset.theme = dark() ? "light" : "dark";
  label();
});
system.addEventListener("change", label);

const form = document.getElementById("pick");
const status = form.querySelector("[role=status]");
const slot = document.getElementById("chosen");
const main = slot.firstElementChild?.id ?? "";
const boxes = all("input[name=column]", form);
const usual = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
const homes = new Map(all("details[data-instrument]").map((home) => [home.dataset.instrument, home]));
const sorted = { column: "", up: true };

// The chosen instrument stands first; the others wait folded below, the main one too.
function choose(key) {
  const now = slot.firstElementChild;
  if (!now || now.id === key) return;
  if (!homes.has(now.id)) {
    const home = document.createElement("details");
    home.className = "other";
    home.dataset.instrument = now.id;
    const summary = document.createElement("summary");
    summary.textContent = now.getAttribute("aria-label");
    home.append(summary);
    document.getElementById("others").querySelector("h2").after(home);
    homes.set(now.id, home);
  }
  const home = homes.get(now.id);
  home.append(now);
  home.hidden = false;
  slot.append(document.getElementById(key));
  homes.get(key).hidden = true;
  list();
}

// The menu lists the columns of the table that is shown, as it calls them and in its order; what is ticked stays so.
function list() {
  const heads = all("thead th", slot.querySelector("table.lines") ?? slot);
  for (const box of boxes) box.parentElement.hidden = !heads.some((head) => head.dataset.col === box.value);
  for (const head of heads) {
    const box = boxes.find((one) => one.value === head.dataset.col);
    if (!box) continue;
    box.nextSibling.textContent = head.querySelector(".sort").textContent;
    box.closest("fieldset").append(box.parentElement);
  }
}

// Where a filter leaves no run, that is said in place of the drawing and the table; the words above know no verdict.
function say(article) {
  const { model, verdict } = form.elements;
  const held = (table) => all("tr[data-line]", table);
  const rows = held(article.querySelector(":scope > .scroll") ?? article);
  const none = rows.length > 0 && rows.every((row) => row.hidden);
  for (const one of all(":scope > .scroll, :scope > .key, .scatter", article)) one.hidden = none;
  for (const one of all(".aside", article)) one.hidden = held(one).every((row) => row.hidden);
  const word = verdict.value && verdict.selectedOptions[0].textContent;
  const whose = word && model.value ? ` of ${model.value}` : "";
  const told = none ? `No run${whose} here ${word ? `has the verdict “${word}”` : `is of ${model.value}`}.` : "";
  const note = article.querySelector(".filtered");
  const above = word ? `The words above are about all runs${whose}, whatever their verdict.` : "";
  note.textContent = `${told} ${above}`.trim();
  note.hidden = !note.textContent;
}

function state() {
  const { instrument, model, verdict } = form.elements;
  const shown = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
  const found = new URLSearchParams();
  if (instrument.value && instrument.value !== main) found.set("instrument", instrument.value);
  if (model.value) found.set("model", model.value);
  if (verdict.value) found.set("verdict", verdict.value);
  const more = [...shown].filter((key) => !usual.has(key));
  const less = [...usual].filter((key) => !shown.has(key));
  if (more.length) found.set("show", more.join(","));
  if (less.length) found.set("hide", less.join(","));
  if (sorted.column) found.set("sort", (sorted.up ? "" : "-") + sorted.column);
  return found;
}

// The address says what is shown; it may be wrong or of another board, and then counts for nothing.
function restore() {
  const found = new URLSearchParams(location.hash.slice(1));
  const { instrument, model, verdict } = form.elements;
  const pick = (select, value, other) => {
    select.value = [...select.options].some((option) => option.value === value) ? value : other;
  };
  pick(instrument, found.get("instrument"), main);
  pick(model, found.get("model"), "");
  pick(verdict, found.get("verdict"), "");
  const listed = (name) => (found.get(name) ?? "").split(",");
  for (const box of boxes) {
    box.checked = listed("show").includes(box.value) || (usual.has(box.value) && !listed("hide").includes(box.value));
  }
  const sort = found.get("sort") ?? "";
  sorted.column = sort.replace(/^-/, "");
  sorted.up = !sort.startsWith("-");
  apply();
}

function apply() {
  const { instrument, model, verdict } = form.elements;
  choose(instrument.value);
  for (const one of all("[data-matrix]")) one.hidden = one.dataset.matrix !== instrument.value;
  const shown = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
  const known = new Set(boxes.map((box) => box.value));
  for (const cell of all("[data-col]")) {
    if (known.has(cell.dataset.col)) cell.hidden = !shown.has(cell.dataset.col);
  }
  const off = new Set();
  for (const row of all("tr[data-line]")) {
    row.hidden = (model.value !== "" && row.dataset.model !== model.value)
      || (verdict.value !== "" && row.dataset.verdict !== verdict.value);
    if (row.hidden) off.add(row.dataset.line);
  }
  for (const dot of all("svg .dot")) dot.classList.toggle("off", off.has(dot.dataset.line));
  for (const article of all(".instrument")) {
    for (const kind of [".sentence", ".facts"]) {
      const told = all(kind, article);
      const mine = told.find((one) => one.dataset.model === model.value) ?? told[0];
      for (const one of told) one.hidden = one !== mine;
    }
    say(article);
  }
  for (const table of all("table.lines")) sort(table);
  const rows = all("table.lines:first-of-type tr[data-line]", slot.querySelector(".scroll") ?? slot);
  status.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} runs shown`;
  reachable();
}

// Sorting: a column by its numbers, what is missing last; without one, the order that the page came in.
const collator = new Intl.Collator("en", { numeric: true });
for (const table of all("table.lines")) {
  [...table.tBodies[0].rows].forEach((row, place) => (row.dataset.place = place));
}

function sort(table) {
  const heads = [...table.tHead.rows[0].cells];
  const column = heads.findIndex((head) => head.dataset.col === sorted.column);
  for (const head of heads) head.setAttribute("aria-sort", "none");
  if (column >= 0) heads[column].setAttribute("aria-sort", sorted.up ? "ascending" : "descending");
  const sign = sorted.up ? 1 : -1;
  const order = (a, b) => {
    if (column < 0) return a.dataset.place - b.dataset.place;
    const [x, y] = [a.cells[column], b.cells[column]];
    if (x.dataset.value === undefined) return sign * collator.compare(x.textContent, y.textContent);
    if (x.dataset.value === "" || y.dataset.value === "") return (x.dataset.value === "") - (y.dataset.value === "");
    return sign * (x.dataset.value - y.dataset.value);
  };
  table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
}

function told() {
  const hash = state().toString();
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  apply();
}
for (const button of all(".lines .sort")) {
  button.addEventListener("click", () => {
    const column = button.closest("th").dataset.col;
    sorted.up = sorted.column === column ? !sorted.up : column === "rank" || column === "run";
    sorted.column = column;
    told();
  });
}
form.addEventListener("change", told);
form.addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", () => {
  if (!location.hash || location.hash.includes("=")) restore();
});

// Downloads: the rows that are open to view, as data.
const data = JSON.parse(document.getElementById("rows").textContent);

function shownRows() {
  const open = all("tr[data-line]", slot).filter((row) => !row.hidden && !row.closest("details:not([open])"));
  return open.map((row) => data[row.dataset.line]);
}

function cell(value) {
  if (value === null || value === undefined) return "";
  // A text that a spreadsheet would take for a formula is quoted as text.
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function csv(rows) {
  const names = [...new Set(rows.flatMap(Object.keys))];
  return [names, ...rows.map((row) => names.map((name) => row[name]))].map((r) => r.map(cell).join(",")).join("\n") + "\n";
}

function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
const named = (end) => `traitbench-${form.elements.instrument.value || "board"}.${end}`;
document.getElementById("csv").addEventListener("click", () => save(named("csv"), "text/csv", csv(shownRows())));
document.getElementById("json").addEventListener("click", () => {
  save(named("json"), "application/json", JSON.stringify(shownRows(), null, 1));
});

// The menu of columns closes on Escape and on a click elsewhere.
const menu = form.querySelector(".menu");
addEventListener("click", (event) => {
  if (!menu.contains(event.target)) menu.open = false;
});
menu.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

// What scrolls sideways must be reachable by keyboard, and nothing else need be a stop.
function reachable() {
  for (const box of all(".scroll")) {
    if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}
document.addEventListener("toggle", reachable, true);
addEventListener("resize", reachable);

label();
restore();
