// Asks the demo's server what to show, every few seconds, and puts it on the page.

import { body, isList, under } from "./chart.js";

const place = (id) => document.getElementById(id);
const PERIOD = { running: 2000, waiting: 1000 }, CALM = 6000;
const STATES = {
  running: "running", ended: "ended", waiting: "waiting for the first job",
  "no-prometheus": "no Prometheus", unreachable: "Prometheus does not answer", lost: "the demo has stopped",
};
const MESSAGES = {
  "no-prometheus": `<h2>Live panels need Prometheus</h2>
    <p>The demo found no <code>prometheus</code> on this machine. Install it, then start the demo again. This is for Debian and Ubuntu;
      other systems find it at <a href="https://prometheus.io/download">prometheus.io/download</a>.</p>
    <pre>sudo apt-get install prometheus
make demo-down
make demo-up</pre>
    <p>The job runs all the same: the terminal shows its progress, and <code>kubectl get rephrasejobs</code> does too.</p>`,
  waiting: `<p>Prometheus runs. The panels appear with the first job, in a few seconds.</p>`,
  lost: `<p>Nothing answers any more. <code>make demo-up</code> starts the demo again, and prints the address of a new page.</p>`,
};

let shown = null, timer = 0;
const cards = new Map();

async function refresh() {
  clearTimeout(timer);
  const query = new URLSearchParams({ range: place("range").value, job: place("job").value });
  let data;
  try {
    const answer = await fetch(`/data?${query}`, { cache: "no-store", signal: AbortSignal.timeout(15000) });
    data = answer.ok ? await answer.json() : { state: "unreachable", error: await answer.text() };
  } catch {
    data = { state: "lost" };
  }
  show(data);
  timer = setTimeout(refresh, PERIOD[data.state] ?? CALM);
}

function show(data) {
  place("state").textContent = STATES[data.state];
  place("state").className = `state ${data.state === "unreachable" ? "lost" : data.state}`;
  const message = MESSAGES[data.state] ?? "";
  place("message").hidden = !message && !data.error;
  place("message").innerHTML = `<div class="card">${message}</div>`;
  if (data.error) place("message").firstChild.textContent = data.error;
  if (!data.sections) return;
  shown = data;
  place("prometheus").hidden = !data.prometheus;
  place("prometheus").href = data.prometheus ?? "";
  choose(place("job"), data.jobs, data.job);
  place("job-label").hidden = data.jobs.length < 2;
  draw();
}

function choose(list, names, current) {
  if (names.join() !== [...list.options].map((option) => option.value).join())
    list.replaceChildren(...names.map((name) => new Option(name, name)));
  list.value = current;
}

// The values above the dashboard's first heading stand in a row of their own. All charts share one grid, in the
// dashboard's order: many have nothing to show in a short run on CPUs, and headings over single charts waste the screen.
function draw() {
  const silent = new Set();
  for (const [index, section] of shown.sections.entries()) {
    for (const panel of section.panels) {
      const key = `${index} ${panel.title}`;
      const card = cards.get(key) ?? makeCard(key, place(section.title ? "charts" : "values"), panel);
      const full = (isList(panel) ? panel.values : panel.series).length > 0;
      card.panel = panel;
      card.node.hidden = !full;
      if (full) card.content.innerHTML = body(panel, shown, card.content.clientWidth);
      else silent.add(panel.title);
    }
  }
  place("silent").textContent = silent.size ? `Without data in this run: ${[...silent].join("; ")}.` : "";
}

function makeCard(key, grid, panel) {
  const node = Object.assign(document.createElement("div"), { className: "card" });
  const title = Object.assign(document.createElement("h3"), { textContent: panel.title });
  const why = Object.assign(document.createElement("button"), { className: "why", type: "button", textContent: "?" });
  why.setAttribute("aria-label", `What ${panel.title} shows`);
  const note = Object.assign(document.createElement("div"), { className: "note", hidden: true, textContent: panel.description });
  const content = document.createElement("div");
  const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
  for (const [event, hidden] of [["pointerenter", true], ["focus", true], ["pointerleave", false], ["blur", false]])
    why.addEventListener(event, () => { note.hidden = !hidden; });
  if (panel.description) title.append(why);
  node.append(title, note, content, tip);
  grid.append(node);
  const card = { node, content, panel };
  cards.set(key, card);
  content.addEventListener("pointermove", (event) => point(card, tip, event));
  content.addEventListener("pointerleave", () => {
    tip.hidden = true;
    content.querySelector(".cursor")?.setAttribute("visibility", "hidden");
  });
  return card;
}

function point(card, tip, event) {
  const picture = card.content.querySelector("svg[data-left]");
  if (!picture) return;
  const left = Number(picture.dataset.left), right = Number(picture.dataset.right);
  const x = Math.min(right, Math.max(left, event.clientX - picture.getBoundingClientRect().left));
  tip.innerHTML = under(card.panel, shown, shown.start + ((x - left) / (right - left)) * (shown.end - shown.start));
  tip.hidden = false;
  tip.style.left = `${Math.min(x + 24, card.node.clientWidth - tip.offsetWidth - 8)}px`;
  const cursor = picture.querySelector(".cursor");
  for (const name of ["x1", "x2"]) cursor.setAttribute(name, x);
  cursor.setAttribute("visibility", "visible");
}

for (const id of ["range", "job"]) place(id).addEventListener("change", refresh);
addEventListener("resize", () => shown && draw());
refresh();
