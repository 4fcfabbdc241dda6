// The data comes as a script, status.js, loaded again and again: a page opened from a file may not fetch.
// Names are chosen by people: they are only ever put into the page as text.
const FEW = 10, MARKS = { done: "✔", mixed: "◐", failed: "✘", running: "▶", waiting: "·" };
const KINDS = { done: "good", mixed: "wait", failed: "bad" };
const OLD_MS = 600000, MINUTE_S = 60;
const shown = {};          // what each part of the page shows, so that only what changed is built again
const opened = new Set();  // the long lists that the reader opened
let data = null, heardAt = performance.now(), firstWord = true;

const language = () => document.documentElement.lang;
const locale = () => navigator.languages.find((wish) => wish.startsWith(language())) ?? language();
const told = (text) => text[language()] ?? Object.values(text)[0] ?? "";
function word(code, fields = {}) {
  return WORDS[language()][code].replace(/\{(\w+)\}/g, (_, name) => fields[name] ?? "?");
}
function make(tag, facts, ...children) {
  const node = Object.assign(document.createElement(tag), facts);
  node.append(...children.filter((child) => child !== null && child !== ""));
  return node;
}
function number(value, digits = 0) {
  return new Intl.NumberFormat(locale(), { maximumFractionDigits: digits }).format(value);
}
function span(seconds) {
  const [value, unit] = seconds < MINUTE_S ? [Math.ceil(seconds / 5) * 5, "second"] : [Math.round(seconds / MINUTE_S), "minute"];
  return new Intl.NumberFormat(locale(), { style: "unit", unit, unitDisplay: "long" }).format(value);
}
function moment(iso) {
  const time = new Date(iso), today = time.toDateString() === new Date().toDateString();
  const style = today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" };
  return new Intl.DateTimeFormat(locale(), style).format(time);
}

function show(id, facts, build) {
  const key = JSON.stringify([language(), facts]);
  if (shown[id] === key) return;
  shown[id] = key;
  document.getElementById(id).replaceChildren(...build().filter((child) => child !== null));
}
function section(heading, ...children) {
  return make("section", { className: "card" }, make("h2", { textContent: heading }), ...children);
}
function said(text) {
  return told(text) ? make("p", { className: "soft", textContent: told(text) }) : null;
}
function list(id, tag, className, items, build, redraw, few = items.slice(0, FEW)) {
  const all = opened.has(id) || items.length <= FEW;
  const rows = make(tag, { className }, ...(all ? items : few).map(build));
  if (all) return [rows];
  const button = make("button", { type: "button", textContent: word("show_all", { count: items.length }) });
  button.addEventListener("click", () => {
    opened.add(id);
    redraw();
    const first = document.querySelectorAll(`#${id} li`)[few.length];
    first.tabIndex = -1;
    first.focus();
  });
  return [rows, button];
}

function state(stale) {
  const kinds = { idle: "good", working: "good", paused: "wait", "share-unavailable": "bad", stopped: "bad" };
  const name = word(data.state.replace("-", "_"));
  document.title = `${name} · heygemd`;
  show("state", [data.state, data.detail, stale], () => {
    document.getElementById("state").className = `card ${stale ? "bad" : kinds[data.state]}`;
    const old = stale ? make("p", { className: "detail", textContent: word("stale", { time: moment(data.updated) }) }) : null;
    const why = told(data.detail) ? make("p", { className: "detail", textContent: told(data.detail) }) : null;
    return [make("span", { className: "mark", textContent: name }), old, why];
  });
}
function video(v) {
  const kind = KINDS[v.state] ?? "";
  const head = make("span", { className: kind }, make("span", { className: "mark", ariaHidden: "true", textContent: MARKS[v.state] }), ` ${v.name}`);
  if (v.state !== "running") return make("li", {}, head, said(v.text) ?? "");
  const bar = make("progress", { max: 100, value: v.percent, ariaLabel: v.name });
  const facts = [`${number(v.percent)} %`, word(`phase_${v.phase.replace("-", "_")}`)];
  if (v.fps) facts.push(word("fps", { fps: number(v.fps, v.fps < 10 ? 1 : 0) }));
  if (v.eta_s !== null) facts.push(word("left", { time: span(v.eta_s) }));
  return make("li", {}, head, bar, make("span", { className: "soft", textContent: facts.join(" · ") }));
}
function counted(job) {
  return word("videos", { done: job.videos.filter((v) => v.state === "done").length, total: job.videos.length });
}
function now(jobs) {  // of many videos those about the one that runs
  const redraw = () => show("now", [jobs, opened.has("now")], () => jobs.map((job) => {
    const from = Math.max(0, job.videos.findIndex((v) => v.state === "running") - 2);
    const few = job.videos.slice(from, from + FEW);
    return section(word("now", { name: job.name }), make("p", { className: "soft", textContent: counted(job) }), ...list("now", "ul", "", job.videos, video, redraw, few));
  }));
  redraw();
}
function queued(job) {
  const since = () => word("arrived", { time: moment(job.arrived), count: number(job.videos.length) });
  const facts = told(job.text) || (job.arrived ? since() : "");
  const name = make("h3", { textContent: job.name });
  return make("li", {}, make("div", { className: "row" }, name, facts && make("p", { className: "soft", textContent: facts })));
}
function waits(job) {  // what somebody must do something about is marked; what goes on by itself is not
  const mine = job.state === "waiting";
  const mark = mine ? make("span", { className: "mark wait", ariaHidden: "true", textContent: "⚠ " }) : "";
  const why = make("p", { className: mine ? "" : "soft", textContent: told(job.text) });
  return make("li", {}, make("h3", {}, mark, job.name), why);
}
function many(id, tag, className, heading, jobs, build) {
  const redraw = () => show(id, [jobs, opened.has(id)], () => jobs.length === 0 ? [] : [
    section(word(heading, { count: number(jobs.length) }), ...list(id, tag, className, jobs, build, redraw)),
  ]);
  redraw();
}
function named(v) {
  const why = told(v.text);
  return why.includes(v.name) ? why : word("named", { name: v.name, why });
}
function thumbnail(v) {
  const picture = make("img", { src: v.thumbnail, alt: v.name, loading: "lazy" });
  const link = make("a", { href: v.link }, picture);
  picture.addEventListener("error", () => link.remove());
  return link;
}
function finished(job) {
  const failed = job.videos.filter((v) => v.state === "failed");
  const outcome = job.state === "done" && failed.length ? "mixed" : job.state;
  const mark = make("span", { className: `mark ${KINDS[outcome]}`, textContent: `${MARKS[outcome]} ${word(`in_${outcome}`)}` });
  const name = make("h3", {}, job.link ? make("a", { href: job.link, textContent: job.name }) : job.name);
  const facts = [moment(job.finished), ...(job.videos.length ? [counted(job)] : [])].join(" · ");
  const why = failed.slice(0, FEW).map((v) => make("p", { className: "soft", textContent: named(v) }));
  if (failed.length > FEW) why.push(make("p", { className: "soft", textContent: `… +${number(failed.length - FEW)}` }));
  const gone = job.folder ? null : make("p", { className: "soft", textContent: word("gone") });
  const pictures = job.videos.filter((v) => v.thumbnail).slice(0, FEW);
  const thumbs = pictures.length ? make("div", { className: "thumbs" }, ...pictures.map(thumbnail)) : null;
  return make("li", {}, make("div", { className: "row" }, name, mark), make("p", { className: "soft", textContent: facts }), said(job.text) ?? "", ...why, gone, thumbs);
}
function health(h) {
  const gib = (value) => value === null ? "?" : word("gib", { gib: number(value, 1) });
  const rows = {
    gpu: h.gpus.join(", ") || word("no_gpu"),
    share_free: gib(h.share_free_gib),
    disk_free: gib(h.disk_free_gib),
    version: h.version,
    updated: moment(data.updated),
  };
  show("health", rows, () => [
    section(word("health"), make("dl", {}, ...Object.entries(rows).flatMap(([code, value]) => [make("dt", { textContent: word(code) }), make("dd", { textContent: value })]))),
  ]);
}

function draw() {
  document.getElementById("title").textContent = word("title");
  if (data === null) {
    document.getElementById("state").textContent = word("loading");
    return;
  }
  const silent_s = (performance.now() - heardAt) / 1000;
  const stale = data.state !== "stopped" && (silent_s > STALE_S || (firstWord && Date.now() - new Date(data.updated) > OLD_MS));
  state(stale);
  many("queue", "ol", "queue", "queue", data.queue, queued);
  many("waiting", "ul", "", "waiting", data.waiting, waits);
  many("recent", "ul", "", "recent", data.recent, finished);
  health(data.health);
  const nothing = !data.current && !data.queue.length && !data.waiting.length && !data.recent.length;
  if (nothing) show("now", "nothing", () => [make("p", { className: "card", textContent: word("empty") })]);
  else now(data.current ? [data.current, ...data.beside] : []);
}
function heygemd(news) {  // called by status.js
  if (data !== null && news.updated !== data.updated) firstWord = false;
  if (data === null || news.updated !== data.updated) heardAt = performance.now();
  data = news;
  draw();
}
function load() {
  const script = make("script", { src: `status.js?${Date.now()}` });
  script.addEventListener("load", () => script.remove());
  script.addEventListener("error", () => { script.remove(); draw(); });
  document.head.append(script);
}
document.addEventListener("language", draw);
draw();
load();
setInterval(load, REFRESH_S * 1000);
