"use strict";
/* What the page does: languages and themes, sorting and copying of tables, and the pair explorer.
   Data come as ``parts`` (see parts.py). Text from data goes through textContent only. */

const PER_PAGE = 20;
const phrases = parts[0].phrases;
const [head, ...rest] = parts.slice(1);
const runs = rest.filter((part) => "run" in part);
const pairs = { guids: [], labels: [], masks: [], texts: [], lengths: [], photos: [] };
for (const part of rest) {
  if ("guids" in part) for (const key in pairs) for (const value of part[key]) pairs[key].push(value);
}
const root = document.documentElement;
const by = (id) => document.getElementById(id);

// ---------------------------------------------------------------- languages and themes

function remembered(key, value) {
  try {
    if (value !== undefined) localStorage.setItem(key, value);
    return localStorage.getItem(key);
  } catch { return null; } // a browser may refuse it to pages from the disk
}

function t(key, values = {}) {
  const text = phrases[key][root.dataset.language === "zh" ? 0 : 1];
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

function speak(language) {
  root.dataset.language = language;
  root.lang = language === "zh" ? "zh-CN" : "en";
  document.title = t("title");
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", t(node.dataset.label));
  if (head) explore();
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const show = (theme) => { root.dataset.theme = theme; };
show(remembered("theme") || (dark.matches ? "dark" : "light"));
dark.addEventListener("change", () => { if (!remembered("theme")) show(dark.matches ? "dark" : "light"); });
by("theme").addEventListener("click", () => {
  show(root.dataset.theme === "dark" ? "light" : "dark");
  remembered("theme", root.dataset.theme);
});
by("language").addEventListener("click", () => {
  speak(root.dataset.language === "zh" ? "en" : "zh");
  remembered("language", root.dataset.language);
});

// Paper shows what nobody has scrolled to.
addEventListener("beforeprint", () => { for (const image of document.images) image.loading = "eager"; });

function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// ---------------------------------------------------------------- tables

function value(cell) {
  const text = cell.dataset.value ?? cell.innerText.trim();
  const number = parseFloat(text.replace(/,/g, ""));
  if (cell.classList.contains("number")) return Number.isNaN(number) ? null : number;
  return text;
}

function sort(button) {
  const heading = button.closest("th"), table = heading.closest("table"), place = heading.cellIndex;
  const down = heading.ariaSort ? heading.ariaSort === "ascending" : heading.classList.contains("number");
  const order = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null); // what is missing stays last
    const less = typeof a === "number" ? a - b : a.localeCompare(b, root.lang);
    return down ? -less : less;
  };
  const rows = [...table.tBodies[0].rows].map((row) => [value(row.cells[place]), row]);
  table.tBodies[0].append(...rows.sort((a, b) => order(a[0], b[0])).map((pair) => pair[1]));
  for (const other of heading.parentNode.cells) other.ariaSort = null;
  heading.ariaSort = down ? "descending" : "ascending";
}

const cells = (table) => [...table.rows].map((row) => [...row.cells].map((cell) => cell.innerText.replace(/\s+/g, " ").trim()));
const inTex = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}" };
const tex = (text) => text.replace(/[\\~^&%$#_{}]/g, (c) => inTex[c] || "\\" + c);
const markdown = (text) => text.replace(/[\\|<`*_]/g, "\\$&");
// A spreadsheet would run a text that begins like a formula.
const csv = (text) => `"${(/^[=+@\t\r＝＋－＠]|^-\D/.test(text) ? "'" + text : text).replace(/"/g, '""')}"`;
const FORMATS = {
  Markdown: ([first, ...rows]) => [first, first.map(() => "---"), ...rows]
    .map((row, i) => `| ${row.map(i === 1 ? String : markdown).join(" | ")} |`).join("\n"),
  LaTeX: ([first, ...rows]) => {
    const lines = [first, ...rows].map((row) => row.map(tex).join(" & ") + " \\\\");
    return [`\\begin{tabular}{l${"r".repeat(first.length - 1)}}`, "\\hline", lines[0], "\\hline", ...lines.slice(1), "\\hline", "\\end{tabular}"].join("\n");
  },
  csv: (rows) => rows.map((row) => row.map(csv).join(",")).join("\r\n"),
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

for (const table of document.querySelectorAll("table")) {
  const bar = make("div", { className: "copy" });
  for (const [lang, text] of [["zh", phrases.copy[0]], ["en", phrases.copy[1]]]) bar.append(make("span", { lang, textContent: text }));
  for (const format in FORMATS) {
    const button = make("button", { type: "button", textContent: format });
    button.addEventListener("click", () => copy(FORMATS[format](cells(table))));
    bar.append(button);
  }
  table.parentNode.after(bar);
}
document.addEventListener("click", (event) => {
  const button = event.target.closest(".sort");
  if (button) sort(button);
});

// ---------------------------------------------------------------- the pair explorer

const NAMES = ["preset", "true", "run1", "is1", "run2", "is2", "slice", "q", "page"];
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

const chosen = (run, pair) => run.chosen.slice(2 * pair, 2 * pair + 2);
const place = (digits) => (digits === "--" ? -1 : parseInt(digits, 36));
const digits = (number) => number.toString(36).padStart(2, "0");
const share = (run, pair, kind) => {
  const at = 2 * (pair * head.classes.length + kind);
  return parseInt(run.shares.slice(at, at + 2), 36) / 1000;
};

/** Return a test of pairs by what a run does with them, or null where nothing is asked. */
function condition(name, is) {
  const run = runs.find((each) => each.run === name);
  if (!run || !is) return null;
  const codes = head.classes.map((_, kind) => digits(kind));
  if (is === "right") return (i) => chosen(run, i) === codes[pairs.labels[i]];
  if (is === "wrong") {
    const sure = filter.preset === "sure"; // then this run is the one that must be sure
    return (i) => {
      const said = chosen(run, i);
      return said !== "--" && said !== codes[pairs.labels[i]] && (!sure || share(run, i, place(said)) >= 0.9);
    };
  }
  const code = codes[head.classes.indexOf(is.slice("said:".length))];
  return (i) => chosen(run, i) === code;
}

function matching() {
  const tests = [];
  for (const name of [filter.preset, filter.slice]) {
    const bit = head.sets.indexOf(name);
    if (bit >= 0) tests.push((i) => pairs.masks[i] & (1 << bit));
  }
  if (filter.true) {
    const kind = head.classes.indexOf(filter.true);
    tests.push((i) => pairs.labels[i] === kind);
  }
  tests.push(condition(filter.run1, filter.is1), condition(filter.run2, filter.is2));
  if (filter.q) {
    const wanted = new RegExp(filter.q.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i");
    tests.push((i) => wanted.test(pairs.guids[i]) || wanted.test(pairs.texts[i] ?? ""));
  }
  const asked = tests.filter(Boolean), found = [];
  for (let i = 0; i < pairs.guids.length; i++) if (asked.every((test) => test(i))) found.push(i);
  return found;
}

function prediction(run, pair) {
  const kind = place(chosen(run, pair));
  if (kind < 0) return "";
  const sure = share(run, pair, kind), right = kind === pairs.labels[pair];
  const bar = make("span", { className: "bar" });
  bar.style.width = `${100 * sure}%`;
  const what = `${right ? "✓" : "✗"} ${head.classes[kind]} ${Math.round(100 * sure)}%`;
  const title = head.classes.map((name, each) => `${name} ${Math.round(100 * share(run, pair, each))}%`).join("\n");
  return make("li", { className: right ? "right" : "wrong", title }, bar,
    make("span", { className: "name", textContent: run.run }), make("span", { className: "what", textContent: what }));
}

function card(pair) {
  const text = pairs.texts[pair], guid = pairs.guids[pair], photo = pairs.photos[pair];
  let shown = text || t(text === null ? "text_unknown" : "empty_text");
  if (text && pairs.lengths[pair] > [...text].length) shown += t("cut", { count: pairs.lengths[pair].toLocaleString() });
  const words = make("div", {},
    make("h3", {}, make("bdi", { className: "guid", textContent: guid }), ` · ${t("true_class")}: `, make("bdi", { textContent: head.classes[pairs.labels[pair]] })),
    make("p", { className: "text", dir: "auto", textContent: shown }),
    make("ul", { className: "said" }, ...runs.map((run) => prediction(run, pair))));
  if (!photo) return make("article", { className: "card bare" }, words);
  const image = make("img", { loading: "lazy", width: 256, height: 256, alt: t("photo_of", { guid }), src: `page/thumbs/${photo}` });
  return make("article", { className: "card" }, image, words);
}

function explore() {
  const found = matching(), pages = Math.max(1, Math.ceil(found.length / PER_PAGE));
  const at = Math.min(Math.max(1, parseInt(filter.page, 10) || 1), pages);
  fillForm();
  by("count").textContent = t(found.length ? "count" : "none_found", { found: found.length.toLocaleString(), total: pairs.guids.length.toLocaleString() });
  by("found").replaceChildren(...found.slice(PER_PAGE * (at - 1), PER_PAGE * at).map(card));
  by("at").textContent = t("page_of", { page: at, pages });
  by("previous").disabled = at === 1;
  by("next").disabled = at === pages;
  by("previous").onclick = () => { location.hash = address({ page: at - 1 }); by("count").scrollIntoView(); };
  by("next").onclick = () => { location.hash = address({ page: at + 1 }); by("count").scrollIntoView(); };
}

function fillForm() {
  const options = (name, entries) => {
    const select = by("filter").elements[name];
    select.replaceChildren(...entries.map(([key, text]) => make("option", { value: key, textContent: text })));
    select.value = filter[name];
  };
  const any = ["", t("any")];
  const does = [any, ["right", t("is_right")], ["wrong", t("is_wrong")], ...head.classes.map((name) => [`said:${name}`, t("is_said", { name })])];
  options("true", [any, ...head.classes.map((name) => [name, name])]);
  options("slice", [any, ...head.slices.map((name) => [name, t(`slice_${name}`)])]);
  for (const number of ["1", "2"]) {
    options(`run${number}`, [any, ...runs.map(({ run }) => [run, run])]);
    options(`is${number}`, does);
  }
  const search = by("filter").elements.q;
  if (document.activeElement !== search) search.value = filter.q;
  const focused = by("presets").contains(document.activeElement);
  const presets = [["", pairs.guids.length], ...Object.entries(head.presets)];
  by("presets").replaceChildren(...presets.map(([name, count]) => {
    const link = make("a", { href: address({ preset: name }), textContent: `${t(`preset_${name || "all"}`)} (${count.toLocaleString()})` });
    if (name) link.title = t(`help_${name}`);
    if (name === filter.preset) link.setAttribute("aria-current", "true");
    return link;
  }));
  if (focused) by("presets").querySelector("[aria-current]")?.focus();
}

if (head) {
  const form = by("filter");
  const follow = () => {
    const asked = readAddress();
    if (!asked && location.hash) return; // a link to a section
    explore();
    const { top, bottom } = by("explorer").getBoundingClientRect();
    if (asked && (top > innerHeight / 2 || bottom < 0)) by("pairs").scrollIntoView();
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", ({ target }) => {
    if (target.name === "q") return;
    const changes = { [target.name]: target.value };
    const number = /^run(\d)$/.exec(target.name)?.[1];
    if (number && target.value && !filter[`is${number}`]) changes[`is${number}`] = "wrong";
    location.hash = address(changes);
  });
  form.elements.q.addEventListener("input", ({ target }) => {
    location.replace(address({ q: target.value })); // no step of the back button for each letter
  });
  addEventListener("hashchange", follow);
  if (readAddress()) addEventListener("load", () => by("pairs").scrollIntoView());
}
speak(remembered("language") || root.dataset.language);
