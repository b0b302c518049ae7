// The page without this script is whole but for its charts: tables, verdicts and words are plain HTML.
const root = document.documentElement;
root.classList.add("scripted");

// Colours: what the system wants, until the button says otherwise.
const configs = JSON.parse(document.getElementById("configs").textContent);
const system = matchMedia("(prefers-color-scheme: dark)");
const toggle = document.getElementById("theme");
const theme = () => root.dataset.theme ?? (system.matches ? "dark" : "light");

function label() {
  toggle.setAttribute("aria-pressed", String(theme() === "dark"));
}
toggle.addEventListener("click", () => {
  root.dataset.theme = theme() === "dark" ? "light" : "dark";
  label();
  drawAll();
});
system.addEventListener("change", () => {
  label();
  drawAll();
});

// Charts.
function fitted(spec, room) {
  const panel = spec.usermeta?.panel ?? 0;
  if (spec.hconcat && panel > room) {
    const axis = spec.hconcat[0].encoding.y.axis;
    for (const part of spec.hconcat) part.encoding.y.axis = axis;
    spec.vconcat = spec.hconcat;
    delete spec.hconcat;
  }
  const whole = spec.columns;
  if (spec.columns) spec.columns = Math.max(1, Math.min(spec.columns, Math.floor(room / panel)));
  // Panels that belong side by side wrap in equal parts.
  while (spec.usermeta?.whole && whole % spec.columns) spec.columns -= 1;
  if (spec.columns === 1 && panel > room) {
    for (const part of spec.concat ?? []) {
      if (part.width?.step) part.width.step = 36;
      if (typeof part.width === "number") part.width = Math.max(150, part.width - (panel - room));
    }
  }
  const inner = spec.spec ?? spec;
  if (panel > room && typeof inner.width === "number") inner.width = Math.max(150, inner.width - (panel - room));
  return spec;
}

async function draw(chart) {
  const spec = JSON.parse(document.getElementById(chart.dataset.spec).textContent);
  const font = getComputedStyle(document.body).fontFamily;
  const room = chart.parentElement.clientWidth;
  const config = { ...configs[theme()], font, background: "transparent" };
  if (room < 480) config.axis = { ...config.axis, labelLimit: 130 };
  await vegaEmbed(chart, fitted(spec, room), {
    mode: "vega-lite",
    renderer: "svg",
    actions: false,
    defaultStyle: false,
    tooltip: { disableDefaultStyle: true },
    config,
  });
}

let turn = 0;
async function drawAll() {
  const mine = ++turn;
  delete root.dataset.drawn;
  const far = (chart) => {
    const box = chart.getBoundingClientRect();
    return Math.max(0, box.top - innerHeight, -box.bottom);
  };
  const charts = [...document.querySelectorAll(".chart")].map((chart) => [far(chart), chart]);
  for (const [, chart] of charts.sort((a, b) => a[0] - b[0])) {
    if (mine !== turn) return;
    await draw(chart);
    await new Promise((next) => setTimeout(next));
  }
  reachable();
  root.dataset.drawn = theme();
}

// What scrolls sideways must be reachable by keyboard, and nothing else need be a stop.
function reachable() {
  for (const box of document.querySelectorAll(".scroll")) {
    if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}
document.addEventListener("toggle", reachable, true);

let width = innerWidth;
let pause;
addEventListener("resize", () => {
  clearTimeout(pause);
  pause = setTimeout(() => {
    if (innerWidth === width) return;
    width = innerWidth;
    drawAll();
  }, 200);
});

// The overview: sort by a column, filter by words and by choice.
const collator = new Intl.Collator("en", { numeric: true });

function compare(column, sign) {
  return (a, b) => {
    const [one, other] = [a.cells[column], b.cells[column]];
    const units = collator.compare(one.dataset.unit ?? "", other.dataset.unit ?? "");
    if (units) return units;
    const [x, y] = [one.dataset.value ?? one.textContent, other.dataset.value ?? other.textContent];
    if (x === "" || y === "") return (x === "") - (y === "");
    return sign * (one.dataset.value === undefined ? collator.compare(x, y) : x - y);
  };
}

function sortable(table) {
  const body = table.tBodies[0];
  for (const header of table.tHead.rows[0].cells) {
    const button = header.querySelector("button");
    button?.addEventListener("click", () => {
      const up = header.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) {
        if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
      }
      header.setAttribute("aria-sort", up ? "ascending" : "descending");
      body.append(...[...body.rows].sort(compare(header.cellIndex, up ? 1 : -1)));
    });
  }
}

function filterable(form, table) {
  const rows = [...table.tBodies[0].rows];
  const status = form.querySelector("[role=status]");
  const apply = () => {
    const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const chosen = [...form.querySelectorAll("select")].every((s) => !s.value || row.dataset[s.name] === s.value);
      row.hidden = !(chosen && words.every((word) => text.includes(word)));
      count += !row.hidden;
    }
    status.textContent = `${count} of ${rows.length} rows shown`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
}

sortable(document.getElementById("board"));
filterable(document.getElementById("filters"), document.getElementById("board"));
label();
drawAll();
