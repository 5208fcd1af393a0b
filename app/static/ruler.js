// The ruler of the page Generators: which methods are measured with what, and the table, pictures and plot of what was measured.

import * as frame from "./frame.js"
import { plain } from "./look.js"
import { byId, element, number, ranges, write } from "./text.js"

const HEADS = {
  activation: ["activation", "of the highest real picture; without real pictures, the network's own number"],
  held_out: ["held out", "the share of it that is left under moves that no ascent made"],
  transfer: ["transfer", "the probability that another network gives the class"],
  transferred: ["transferred", "the share of pictures that it takes for the class"],
  nearest: ["nearest", "distance to the nearest real picture"],
  spectrum: ["spectrum", "distance of log radial power to real pictures"],
  diversity: ["diversity", "root mean square difference of two pictures of a unit"],
  seconds: ["seconds", "of computing, for each picture"],
}
const id = (name) => byId(`ruler-${name}`)

let ask = () => {}
let form = () => ({})
let changed = () => {}
let offers = null
let told = null // what was measured
let open = false
let model = "" // network that the form was filled for
let plotted = "" // what is in the plot
let plotting = null

/** `send` tells Python, `walk()` is what the page's form says of the walk, `then` is called when it is opened or closed. */
export function start(send, walk, then) {
  ask = send
  form = walk
  changed = then
  open = new URLSearchParams(location.search).has("ruler")
  byId("generators-ruler").addEventListener("click", () => show(!open))
  id("form").addEventListener("submit", (event) => {
    event.preventDefault()
    if (running()) return ask({ do: "stop" })
    measure()
  })
  byId("generators-layer").addEventListener("change", draw)
  byId("generators-generator").addEventListener("change", draw)
  id("pictures").addEventListener("input", draw)
}

export const isOpen = () => open

export function show(on) {
  open = on
  draw()
  changed()
}

const running = () => told?.state === "running"
const chosen = () => [...id("methods").querySelectorAll("input:checked:not(:disabled)")].map((one) => one.value)

function measure() {
  const { generator, layer, targets, fit } = form()
  const value = (name) => Math.round(Number(id(name).value)) || 0
  ask({ do: "measure", generator, layer, targets, fit, methods: chosen(), judge: id("judge").value, pictures: id("pictures").value, seeds: value("seeds"), steps: value("steps"), most: value("most") })
}

/** What the form offers for the network. */
export function offer(news) {
  const first = !offers || model !== news.model
  const own = id("pictures").value !== (offers?.first ?? "") // somebody has written there
  offers = news
  model = news.model
  if (!id("methods").childElementCount) {
    id("methods").replaceChildren(...news.methods.map((one) => element("label", { title: one.help }, element("input", { type: "checkbox", value: one.name, checked: true, "data-code": one.code ? "1" : null, "data-testid": `ruler-${one.name}`, onchange: draw }), one.label)))
  }
  const judge = id("judge").value
  id("judge").replaceChildren(element("option", { value: "" }, "none"), ...news.judges.map((one) => element("option", { value: one.name }, `${plain(one.name)}${one.here ? "" : " (fetched)"}`)))
  id("judge").value = first ? news.judge : judge
  if (id("judge").selectedIndex < 0) id("judge").value = ""
  id("known").replaceChildren(...news.pictures.map((name) => element("option", { value: name })))
  if (!own) id("pictures").value = news.first
  draw()
}

/** What was measured by now. */
export function take(news) {
  const other = told?.id !== news.id
  told = news
  draw()
  if (other) frame.place()
}

function draw() {
  byId("generators-ruler").setAttribute("aria-pressed", String(open))
  write(byId("generators-ruler").firstElementChild, open ? "Chains" : "Ruler")
  byId("ruler").hidden = !open
  byId("generators-walking").classList.toggle("ruled", open)
  const layer = byId("generators-layer").value
  const generator = byId("generators-generator").value
  for (const input of id("methods").querySelectorAll("input[data-code]")) input.disabled = !generator
  id("judge").disabled = Boolean(layer) || !offers?.judges.length
  const pictures = id("pictures").value.trim()
  const missing = [
    !generator && "No generator fits this network, so DGN-AM and PPGN are left out.",
    layer ? "Only classes transfer." : offers && !offers.judges.length && "No other network of these classes is here to judge: one that is trained on the page Training would.",
    !pictures && `${offers?.why ?? ""} Without real pictures the activation is the network’s own number; nearest and spectrum are left out.`,
    pictures && pictures === offers?.first && offers?.why,
  ]
  write(id("missing"), missing.filter(Boolean).join(" "))
  const go = running()
  id("measure").disabled = !go && (!offers || !chosen().length)
  write(id("measure"), go ? "Stop" : "Measure")
  id("measure").classList.toggle("going", go)
  const count = told?.methods?.length ?? 0
  const place = told ? (told.methods ?? []).indexOf(told.method) : -1
  id("bar").hidden = !go
  id("bar").value = go && count ? (Math.max(0, place) + (told.share ?? 0)) / count : 0
  write(id("state"), !told ? "" : go ? `${told.labels[told.method] ?? "Starting"} …` : told.state === "failed" ? told.error : told.state === "stopped" ? "Stopped; what was measured stays." : "")
  id("state").classList.toggle("why", told?.state === "failed")
  result()
}

function result() {
  const rows = told?.table ?? []
  id("result").hidden = !rows.length
  if (!rows.length) return
  const { facts } = told
  const subject = facts.layer ? `${facts.layer} ${ranges(facts.units)}` : `classes ${ranges(facts.units)}`
  const against = facts.real ? `against ${facts.real} pictures of ${facts.dataset}` : "without real pictures"
  write(id("about"), `${plain(facts.model)}, ${subject}; ${facts.seeds} ${facts.seeds > 1 ? "pictures" : "picture"} of each, ${against}${facts.transfer ? `, judged by ${plain(facts.transfer)}` : ""}. Means ± deviation over units.`)
  write(id("notes"), facts.notes.join(" "))
  const shown = Object.keys(HEADS).filter((name) => rows.some((row) => row[name] !== null))
  const key = JSON.stringify([told.id, rows])
  if (id("table").dataset.key === key) return
  id("table").dataset.key = key
  const head = element("tr", {}, element("th", { scope: "col" }, "method"), ...shown.map((name) => element("th", { scope: "col", title: HEADS[name][1] }, HEADS[name][0])))
  id("table").replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows.flatMap((row, index) => [line(row, shown), strip(row, shown.length + 1, !index)])))
  for (const form of ["json", "csv", "svg"]) id(form).href = `ruler/${told.id}/score.${form}`
  void plot(key)
}

function line(row, shown) {
  const cell = (name) => {
    const spread = row[`${name}_sd`]
    if (row.method === "real" && name === "seconds") return element("td", {}, "–")
    return element("td", { class: "number" }, number(row[name]), spread > 1e-4 * Math.abs(row[name]) ? element("span", { class: "muted" }, ` ± ${number(spread)}`) : null)
  }
  return element("tr", { "data-testid": `ruler-row-${row.method}` }, element("th", { scope: "row" }, told.labels[row.method] ?? row.method), ...shown.map(cell))
}

/** The pictures of a method, the first under the numbers of the units. */
function strip(row, span, first) {
  const { facts } = told
  const units = first ? element("div", { class: "units number muted", "aria-hidden": "true" }, ...facts.units.map((unit) => element("span", {}, String(unit)))) : null
  const image = element("img", { src: `ruler/${told.id}/${row.method}.webp`, alt: `${told.labels[row.method]}: the pictures that were measured, a column for each unit`, "data-testid": `ruler-tiles-${row.method}`, loading: "lazy" })
  const cell = element("td", { colspan: String(span) }, units, image)
  cell.style.setProperty("--tiles", facts.units.length)
  return element("tr", { class: "strip" }, cell)
}

/** The plot that can be saved, in the colours of the page. */
async function plot(key) {
  if (plotted === key || plotting === key) return
  plotting = key
  try {
    const answer = await fetch(`ruler/${told.id}/score.svg`, { cache: "no-store" })
    if (!answer.ok) return
    const drawn = new DOMParser().parseFromString(await answer.text(), "image/svg+xml").documentElement
    if (plotting !== key || drawn.nodeName !== "svg") return
    id("plot").replaceChildren(document.importNode(drawn, true))
    plotted = key
  } catch {
    // the table says the same
  } finally {
    if (plotting === key) plotting = null
  }
}

export const query = () => (open ? `ruler=${told?.id ?? ""}` : "")

export const state = () => ({ open, state: told?.state ?? null, id: told?.id ?? null, first: offers?.first ?? null, methods: (told?.table ?? []).map((row) => row.method), missing: id("missing").textContent, notes: told?.facts.notes ?? [], plotted: Boolean(plotted), error: told?.error ?? "" })
