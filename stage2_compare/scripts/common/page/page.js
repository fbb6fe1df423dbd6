"use strict";
/* What the page does: the theme, sorting and copying of tables, and the pair explorer.
   Data come as ``parts`` (see parts.py). Text from data goes through textContent only. */

const PER_PAGE = 20;
const [phrases, head, ...rest] = parts;
const models = rest.filter((part) => "model" in part);
const pairs = {};
for (const part of rest.filter((part) => "guids" in part)) {
  for (const key in part) { pairs[key] ??= []; for (const value of part[key]) pairs[key].push(value); }
}
const root = document.documentElement;
const by = (id) => document.getElementById(id);
const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
const t = (key, values = {}) => phrases[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);

function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// ---------------------------------------------------------------- theme and paper

function remembered(key, value) {
  try {
    if (value !== undefined) localStorage.setItem(key, value);
    return localStorage.getItem(key);
  } catch { return null; } // a browser may refuse it to pages from the disk
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const show = (theme) => { root.dataset.theme = theme; };
show(remembered("theme") || (dark.matches ? "dark" : "light"));
dark.addEventListener("change", () => { if (!remembered("theme")) show(dark.matches ? "dark" : "light"); });
by("theme").addEventListener("click", () => {
  show(root.dataset.theme === "dark" ? "light" : "dark");
  remembered("theme", root.dataset.theme);
});
addEventListener("beforeprint", () => { // paper shows what nobody has opened or scrolled to
  for (const image of document.images) image.loading = "eager";
  for (const details of all("details:not(#checking)")) details.open = true;
});

// ---------------------------------------------------------------- tables: sort and copy

function value(cell) {
  if ("value" in cell.dataset) return Number(cell.dataset.value);
  return cell.classList.contains("number") ? null : cell.textContent.trim();
}

function sort(heading) {
  const body = heading.closest("table").tBodies[0], place = heading.cellIndex;
  const down = heading.ariaSort ? heading.ariaSort === "ascending" : heading.classList.contains("number");
  const order = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null); // what is missing stays last
    const less = typeof a === "number" ? a - b : a.localeCompare(b, root.lang);
    return down ? -less : less;
  };
  const rows = [...body.rows].map((row) => [value(row.cells[place]), row]);
  body.append(...rows.sort((a, b) => order(a[0], b[0])).map((pair) => pair[1]));
  for (const other of heading.parentNode.cells) other.ariaSort = null;
  heading.ariaSort = down ? "descending" : "ascending";
}

/** Return the texts of what is shown of a table, a row each; LaTeX leaves out what would not fit. */
function texts(table, isTex = false) {
  const shown = [...table.rows[0].cells].map((cell) =>
    getComputedStyle(cell).visibility !== "collapse" && !cell.matches(".hidden") && !(isTex && cell.matches(".not-copied")));
  return [...table.rows].map((row) => [...row.cells].filter((_, i) => shown[i]).map((cell) => cell.textContent.replace(/\s+/g, " ").trim()));
}

const inTex = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}", ">": "\\textgreater{}", "–": "--", "·": "\\textperiodcentered{}" };
const tex = (text) => text.replace(/[\\~^<>–·&%$#_{}]/g, (c) => inTex[c] || "\\" + c);
const markdown = (text) => text.replace(/[\\|<`*_]/g, "\\$&");
const isFormula = (text) => /^'*[=+\-@\t\r\n＝＋－＠]/.test(text) && !/^-?[\d.,]+%?$/.test(text);
const csv = (rows) => rows.map((row) => row.map((text) => `"${(isFormula(text) ? "'" + text : text).replace(/"/g, '""')}"`).join(",")).join("\r\n");

/** A float as wide as the page, in one column or two; what is wider still is made smaller. */
function latex(table) {
  const [first, ...rows] = texts(table, true).map((row) => row.map(tex));
  const bold = [...table.tBodies[0].rows].map((row) => row.matches(".first"));
  const lines = rows.map((row, i) => (bold[i] ? row.map((text, j) => (j < 2 ? `\\textbf{${text}}` : text)) : row));
  const { latex, key } = table.closest(".block").dataset;
  const long = all(".facts", table.parentNode).length ? "p{.3\\textwidth}".repeat(first.length) : `l${"r".repeat(first.length - 1)}`;
  return ["% \\usepackage{booktabs,graphicx}", "\\begin{table*}", "\\centering", `\\caption{${tex(latex)}}`, `\\label{tab:${key}}`,
    "\\resizebox{\\ifdim\\width>\\textwidth \\textwidth\\else \\width\\fi}{!}{%", `\\begin{tabular}{${long}}`, "\\toprule",
    first.join(" & ") + " \\\\", "\\midrule", ...lines.map((row) => row.join(" & ") + " \\\\"), "\\bottomrule", "\\end{tabular}}", "\\end{table*}"].join("\n");
}

const FORMATS = {
  Markdown: (table) => {
    const [first, ...rows] = texts(table).map((row) => `| ${row.map(markdown).join(" | ")} |`);
    return [first, `|${" --- |".repeat(texts(table)[0].length)}`, ...rows].join("\n");
  },
  LaTeX: latex,
  csv: (table) => csv(texts(table)),
};

async function copy(text) {
  let done = true;
  try { await navigator.clipboard.writeText(text); } catch {
    const area = make("textarea", { value: text });
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
  }
  by("message").textContent = t(done ? "copied" : "not_copied");
  setTimeout(() => { by("message").textContent = ""; }, 2000);
}

for (const block of all(".block")) {
  const bar = block.querySelector(".bar"), table = block.querySelector("table");
  bar.append(make("span", { textContent: t("copy") }));
  for (const format in FORMATS) {
    bar.append(make("button", { type: "button", textContent: format, onclick: () => copy(FORMATS[format](table)) }));
  }
  const more = block.querySelector(".show-more");
  const reveal = (shown) => { for (const cell of all(".more", table)) cell.classList.toggle("hidden", !shown); };
  reveal(false);
  more?.addEventListener("click", () => {
    more.ariaPressed = String(more.ariaPressed !== "true");
    reveal(more.ariaPressed === "true");
  });
}
by("copy-sentence").onclick = () => copy(all("#summary, .sentence").map((node) => node.textContent).join(root.lang === "en" ? " " : ""));
document.addEventListener("click", ({ target }) => {
  const button = target.closest(".sort");
  if (button) sort(button.closest("th"));
});

// ---------------------------------------------------------------- the pair explorer

const NAMES = ["preset", "true", "model1", "is1", "model2", "is2", "slice", "q", "sort", "page"];
const filterOf = (found) => Object.fromEntries(NAMES.map((name) => [name, found.get(name) || ""]));
let filter = filterOf(new URLSearchParams());

/** Read the filter from the address; a link to a section holds none. */
function readAddress() {
  if (location.hash && !location.hash.includes("=")) return false;
  filter = filterOf(new URLSearchParams(location.hash.slice(1)));
  return location.hash !== "";
}

function address(changes) {
  const kept = Object.entries({ ...filter, page: "", ...changes }).filter(([, text]) => text !== "");
  return "#" + (kept.length ? new URLSearchParams(kept) : "preset=");
}

const said = (model, pair) => parseInt(model.chosen.slice(2 * pair, 2 * pair + 2), 36);
const share = (model, pair, kind) => {
  const at = 2 * (pair * head.classes.length + kind);
  return parseInt(model.shares.slice(at, at + 2), 36) / 1000; // NaN: not known
};

const decider = (model, pair) => head.decided[model.decided[pair]]; // undefined: not measured

/** Return a test of pairs by what a model does with them, or null where nothing is asked. */
function condition(name, is) {
  const model = models.find((each) => each.model === name);
  if (!model || !is) return null;
  if (is === "right") return (i) => said(model, i) === pairs.labels[i];
  if (is === "wrong") return (i) => said(model, i) !== pairs.labels[i];
  if (is.startsWith("decided:")) return (i) => decider(model, i) === is.slice("decided:".length);
  const kind = head.classes.indexOf(is.slice("said:".length));
  return (i) => said(model, i) === kind;
}

const ORDERS = { // small numbers first
  doubt: (i) => pairs.doubt[i],
  disagreement: (i) => -pairs.disagreement[i],
  sure: (i) => -pairs.sure[i],
  unsure: (i) => pairs.sure[i],
};

function matching() {
  const tests = [condition(filter.model1, filter.is1), condition(filter.model2, filter.is2)];
  for (const name of [filter.preset, filter.slice]) {
    const bit = head.sets.indexOf(name);
    if (bit >= 0) tests.push((i) => pairs.masks[i] & (1 << bit));
  }
  const kind = head.classes.indexOf(filter.true);
  if (kind >= 0) tests.push((i) => pairs.labels[i] === kind);
  if (filter.q) {
    const wanted = new RegExp(filter.q.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i");
    tests.push((i) => wanted.test(pairs.guids[i]) || wanted.test(pairs.texts[i] ?? ""));
  }
  const asked = tests.filter(Boolean), found = [];
  for (let i = 0; i < pairs.guids.length; i++) if (asked.every((test) => test(i))) found.push(i);
  const order = ORDERS[filter.sort];
  return order ? found.sort((a, b) => order(a) - order(b)) : found; // equal ones stay as listed
}

function prediction(model, pair) {
  const kind = said(model, pair), sure = share(model, pair, kind), right = kind === pairs.labels[pair];
  const bar = make("span", { className: "share" });
  bar.style.width = `${100 * sure || 0}%`;
  const percent = (name, value) => (isNaN(value) ? name : `${name} ${Math.round(100 * value)}%`);
  const what = `${right ? "✓" : "✗"} ${percent(head.classes[kind], sure)}`;
  const title = sure ? head.classes.map((name, each) => percent(name, share(model, pair, each))).join("\n") : "";
  const row = make("li", { className: right ? "right" : "wrong", title }, bar,
    make("bdi", { className: "name", textContent: model.model }), make("bdi", { className: "what", textContent: what }));
  const decided = decider(model, pair);
  if (decided) row.insertBefore(make("small", { className: "by", textContent: t(`decided_${decided}`) }), row.lastChild);
  row.querySelector(".name").insertAdjacentHTML("afterbegin", `<svg class="mark" aria-hidden="true"><use href="#mark${Number(model.mark)}"/></svg>`);
  return row;
}

function card(pair) {
  const text = pairs.texts[pair], guid = pairs.guids[pair], label = head.classes[pairs.labels[pair]];
  let shown = text || t(text === null ? "text_unknown" : "empty_text");
  if (text && pairs.lengths[pair] > [...text].length) shown += t("cut", { count: pairs.lengths[pair].toLocaleString() });
  const doubt = t("of_label", { share: Math.round(pairs.of_label[pair] / 10) });
  const isHidden = by("checking").open; // answers, from who checks the label
  const words = make("div", {},
    make("h3", {}, make("bdi", { className: "guid", textContent: guid }), ` · ${t("label")}: `, make("bdi", { textContent: label }), " ", make("small", { textContent: isHidden ? "" : doubt })),
    make("p", { className: "text", dir: "auto", textContent: shown }),
    isHidden ? marking(pair) : make("ul", { className: "said" }, ...models.map((model) => prediction(model, pair))));
  if (!pairs.thumbs[pair]) return make("article", { className: "card bare" }, words);
  const thumb = `page/thumbs/${pairs.thumbs[pair]}`;
  const image = make("img", { loading: "lazy", width: 256, height: 256, alt: t("photo_of", { guid }), src: thumb });
  const button = make("button", { type: "button", className: "enlarge", title: t("enlarge"), onclick: () => enlarge(pair, thumb) }, image);
  return make("article", { className: "card" }, button, words);
}

/** Show the whole photo from where it lies; its square where the page has moved away from it. */
function enlarge(pair, thumb) {
  const image = by("photo").querySelector("img"), path = pairs.photos[pair];
  image.alt = t("photo_of", { guid: pairs.guids[pair] });
  image.onerror = () => { image.onerror = null; image.src = thumb; };
  const at = path.split("/").map(encodeURIComponent).join("/");
  image.src = path.startsWith("/") ? `file://${at}` : /^\w:/.test(path) ? `file:///${path[0]}:${at.slice(4)}` : head.root + at;
  by("photo").showModal();
}

function save() {
  const probed = models.filter((model) => model.decided);
  const rows = [["guid", "text", "image_path", "label", "p_label", ...models.flatMap(({ model }) => [model, `p ${model}`]), ...probed.map(({ model }) => `decided ${model}`)]];
  for (const i of matching()) {
    const answers = models.flatMap((model) => [head.classes[said(model, i)], String(share(model, i, said(model, i)) || "")]);
    rows.push([pairs.guids[i], pairs.texts[i] ?? "", pairs.photos[i], head.classes[pairs.labels[i]], String(pairs.of_label[i] / 1000), ...answers, ...probed.map((model) => decider(model, i) ?? "")]);
  }
  download(rows, `${filter.preset || "pairs"}.csv`);
}

function download(rows, name) {
  const url = URL.createObjectURL(new Blob(["\ufeff" + csv(rows) + "\r\n"], { type: "text/csv" }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// ---------------------------------------------------------------- labels that a person checks

const marks = head ? JSON.parse(remembered(head.key) || "{}") : {}; // by guid: mark, class that is meant

/** Return pairs in a random order, the same one after a reload. */
function shuffled(list) {
  let state = 20000;
  for (let i = list.length - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0; // Numerical Recipes
    const j = Math.floor((state / 2 ** 32) * (i + 1));
    [list[i], list[j]] = [list[j], list[i]];
  }
  return list;
}

/** Return what is to be checked: the most doubtful pairs, and as many of all drawn at random. */
function toCheck() {
  const count = Math.max(1, Number(by("check-count").value) || 1), all = pairs.guids.map((_, i) => i);
  const random = shuffled([...all]).slice(0, count);
  const doubtful = all.sort((a, b) => pairs.doubt[a] - pairs.doubt[b]).slice(0, count);
  return { random, all: shuffled([...new Set([...doubtful, ...random])].sort((a, b) => a - b)) };
}

function marking(pair) {
  const guid = pairs.guids[pair], given = head.classes[pairs.labels[pair]];
  const others = head.classes.filter((name) => name !== given);
  const buttons = ["right", "unsure"].map((mark) => make("button", { type: "button", textContent: t(`mark_${mark}`), onclick: () => set(mark, "") }));
  const wrong = make("select", { onchange: () => (wrong.value ? set("wrong", wrong.value) : show()) },
    make("option", { value: "", textContent: t("mark_wrong") }), ...others.map((name) => make("option", { value: name, textContent: name })));
  const show = () => {
    const [mark, meant] = marks[guid] || [];
    buttons.forEach((button, i) => { button.ariaPressed = String(mark === ["right", "unsure"][i]); });
    wrong.value = meant || "";
  };
  const set = (...mark) => {
    marks[guid] = mark;
    remembered(head.key, JSON.stringify(marks));
    show();
    tell();
  };
  show();
  return make("div", { className: "marks" }, buttons[0], wrong, buttons[1]);
}

/** Say how far it is; at the end also which share of the labels is wrong, by the random pairs. */
function tell(isEnd = false) {
  const { random, all } = toCheck(), mark = (pair) => marks[pairs.guids[pair]]?.[0];
  const sure = random.filter((pair) => ["right", "wrong"].includes(mark(pair)));
  const wrong = sure.filter((pair) => mark(pair) === "wrong").length;
  const found = { n: all.filter(mark).length, total: all.length, wrong, sure: sure.length, share: Math.round((100 * wrong) / (sure.length || 1)) };
  by("checked").textContent = t(isEnd || found.n === found.total ? "checked_share" : "checked", found);
}

function saveMarks() {
  const rows = pairs.guids.map((guid, i) => marks[guid] && [guid, head.classes[pairs.labels[i]], ...marks[guid]]).filter(Boolean);
  download([["guid", "label", "mark", "corrected"], ...rows], "corrected.csv");
  tell(true);
}

function explore() {
  const found = by("checking").open ? toCheck().all : matching(), pages = Math.max(1, Math.ceil(found.length / PER_PAGE));
  const at = Math.min(Math.max(1, parseInt(filter.page, 10) || 1), pages);
  for (const field of by("filter").elements) if (field !== document.activeElement || field.name !== "q") field.value = filter[field.name];
  by("help").textContent = "";
  for (const link of all("#presets a")) {
    const own = filterOf(new URLSearchParams(link.hash.slice(1)));
    const isShown = own.preset === filter.preset && (own.preset !== "" || (own.is1 === filter.is1 && own.model1 === filter.model1));
    link.ariaCurrent = isShown ? "true" : null;
    if (isShown) by("help").textContent = link.title;
  }
  by("count").textContent = t(found.length ? "count" : "none_found", { found: found.length.toLocaleString(), total: pairs.guids.length.toLocaleString() });
  by("found").replaceChildren(...found.slice(PER_PAGE * (at - 1), PER_PAGE * at).map(card));
  if (by("checking").open) tell();
  by("at").textContent = t("page_of", { page: at, pages });
  for (const [id, page, isEnd] of [["previous", at - 1, at === 1], ["next", at + 1, at === pages]]) {
    by(id).disabled = isEnd;
    by(id).onclick = () => { location.hash = address({ page }); by("count").scrollIntoView(); };
  }
}

if (head) {
  const form = by("filter");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", ({ target }) => {
    if (target.name === "q") return;
    const changes = { [target.name]: target.value };
    const number = /^model(\d)$/.exec(target.name)?.[1];
    if (number && target.value && !filter[`is${number}`]) changes[`is${number}`] = "wrong";
    location.hash = address(changes);
  });
  form.elements.q.addEventListener("input", ({ target }) => {
    location.replace(address({ q: target.value })); // no step of the back button for each letter
  });
  by("save").onclick = save;
  by("save-marks").onclick = saveMarks;
  for (const [id, event] of [["checking", "toggle"], ["check-count", "change"]]) by(id).addEventListener(event, explore);
  by("photo").addEventListener("click", () => by("photo").close());
  addEventListener("hashchange", () => {
    const asked = readAddress();
    if (!asked && location.hash) return; // a link to a section
    explore();
    const { top, bottom } = by("explorer").getBoundingClientRect();
    if (asked && (top > innerHeight / 2 || bottom < 0)) by("pairs").scrollIntoView();
  });
  if (readAddress()) addEventListener("load", () => by("pairs").scrollIntoView());
  explore();
}
