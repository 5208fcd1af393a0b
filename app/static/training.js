// The page Training: the server's one training, its curves, its filters as they grow, and what it mistakes.
// Python tells four times a second (app/pages/training.py); pictures are fetched from training/ (app/trainings.py).

import * as frame from "./frame.js"
import * as networks from "./networks.js"
import * as source from "./source.js"
import { byId, element, number, write } from "./text.js"

const FIELDS = ["filters", "units", "activation", "epochs", "lr", "batch_size", "optimizer", "seed", "augment"]
const TITLES = { efl: "letters E, F, L", mnist: "MNIST", svhn: "SVHN", fer2013: "FER2013", cifar10: "CIFAR-10", "": "class folders …" }
const STATES = { none: "", starting: "starting", running: "training", paused: "paused", stopped: "stopped", failed: "failed", done: "done" }
const ACTIVE = ["starting", "running", "paused"]

let ask = () => {}
let form = null
let run = { state: "none", filters: [] }
let curves = { steps: [], epochs: [] }
let results = { mistakes: [], confusion: [] }
let at = null // index of the filters' picture that is held; null: the newest

export function start(send) {
  ask = send
  byId("training-form").addEventListener("submit", (event) => {
    event.preventDefault()
    at = null
    const fields = Object.fromEntries(FIELDS.map((name) => [name, byId(`training-${name}`).value]))
    ask({ do: "train", dataset: byId("training-dataset").value, data: byId("training-data").value, every: Number(byId("training-every").value) || 50, ...fields })
  })
  byId("training-dataset").addEventListener("change", offer)
  byId("training-pause").addEventListener("click", () => ask({ do: run.state === "paused" ? "go" : "pause" }))
  byId("training-stop").addEventListener("click", () => ask({ do: "stop" }))
  byId("training-resume").addEventListener("click", () => ask({ do: "resume" }))
  byId("training-inspect").addEventListener("click", () => {
    networks.inspect(`own:${run.id}`)
    frame.go("networks")
  })
  byId("training-slider").addEventListener("input", () => {
    const index = Number(byId("training-slider").value)
    at = index >= run.filters.length - 1 ? null : index
    showFilters()
  })
}

export const ready = () => {}
export const actions = {}
export const query = () => ""
export const seen = () => {}

export function take(name, text) {
  if (!text) return
  const told = JSON.parse(text)
  if (name === "form") return fill(told)
  if (name === "run") run = { ...told, filters: told.filters ?? [] }
  if (name === "curves") curves = told
  if (name === "results") results = told
  if (name === "run") showRun()
  if (name === "curves") showCurves()
  if (name === "results") showResults()
}

/** What the page says of itself, to tests. */
export const state = () => ({ state: run.state, dataset: run.dataset, epochs: curves.epochs.length, steps: curves.steps.length, filters: run.filters.length, shown: byId("training-filters-picture").dataset.index, mistakes: results.mistakes.length, failed: run.failed?.length ?? 0, accuracy: run.facts?.accuracy })

// -- the form

function fill(told) {
  form = told
  byId("training-dataset").replaceChildren(...[...told.named, ""].map((name) => element("option", { value: name }, TITLES[name])))
  byId("training-activation").append(...told.activations.map((name) => element("option", { value: name }, name)))
  byId("training-optimizer").append(...told.optimizers.map((name) => element("option", { value: name }, name)))
  offer()
}

/** The usual numbers of the chosen data set stand in the fields as what is used if they stay empty. */
function offer() {
  const name = byId("training-dataset").value
  const usual = form.defaults[name]
  for (const field of ["epochs", "lr", "batch_size", "seed", "augment"]) {
    byId(`training-${field}`).value = ""
    byId(`training-${field}`).placeholder = String(usual[field])
  }
  byId("training-optimizer").value = usual.optimizer
  byId("training-where").hidden = name === "efl"
  byId("training-data").required = name === "" || name === "fer2013"
  byId("training-data").placeholder = name === "" || name === "fer2013" ? "/path/of/pictures" : "fetched"
  write(byId("training-note"), name === "" ? "A folder or zip in which each class has a folder." : name === "efl" ? "Letters of 7 × 5 pixels: two hidden units learn them, or die." : "")
}

// -- what is told

function showRun() {
  const active = ACTIVE.includes(run.state)
  const word = run.reading && run.state === "starting" ? `reading ${run.reading.done} of ${run.reading.total}` : STATES[run.state]
  write(byId("training-state"), word)
  byId("training-state").dataset.state = run.state === "failed" ? "failed" : active ? "running" : ""
  byId("training-start").hidden = active
  byId("training-going").hidden = !active
  byId("training-resume").hidden = !["stopped", "failed"].includes(run.state) || !run.about
  write(byId("training-pause").querySelector("span"), run.state === "paused" ? "Go on" : "Pause")
  byId("training-pause").querySelector("use").setAttribute("href", run.state === "paused" ? "#i-play" : "#i-pause")
  const about = run.about
  write(byId("training-about"), about ? `${about.data}. ${about.parameters.toLocaleString("en")} weights, ${about.pictures.toLocaleString("en")} pictures to train.` : "")
  const seeds = (run.failed ?? []).map((item) => `${item.seed} (${Math.round(100 * item.accuracy)} %)`)
  write(byId("training-seeds"), seeds.length ? `Seeds that failed: ${seeds.join(", ")}.` : "")
  write(byId("training-layer"), about?.layer ?? "")
  const facts = run.facts
  write(byId("training-facts"), facts ? `accuracy ${(100 * facts.accuracy).toFixed(2)} % · network own:${run.id}` : (run.notes ?? []).at(-1) ?? "")
  progress()
  showFilters()
}

function progress() {
  const about = run.about
  byId("training-bar").hidden = !about
  if (about) byId("training-bar").value = run.state === "done" ? 1 : (run.now?.step ?? 0) / (about.epochs * about.steps)
}

function showFilters() {
  const picture = byId("training-filters-picture")
  const slider = byId("training-slider")
  const count = run.filters.length
  slider.hidden = count < 2
  slider.max = String(Math.max(0, count - 1))
  picture.hidden = !count
  byId("training-empty").hidden = count > 0
  if (!count) return write(byId("training-when"), "")
  const index = at === null || at >= count ? count - 1 : at
  slider.value = String(index)
  const key = `${run.id}/filters/${run.filters[index].index}`
  if (picture.dataset.key !== key) {
    picture.dataset.key = key
    const next = new Image() // the one before stays until it is there
    next.onload = () => {
      if (picture.dataset.key !== key) return
      picture.src = next.src
      picture.dataset.index = String(index)
    }
    next.src = `training/${key}.png`
    picture.alt = `What filters of ${run.about?.layer ?? "the network"} look for`
  }
  write(byId("training-when"), `after ${run.filters[index].step} batches${at === null ? "" : ` · ${index + 1} of ${count}`}`)
}

function showCurves() {
  const { steps, epochs } = curves
  const last = epochs.at(-1)
  const length = run.about?.steps ?? 1
  draw("training-loss", steps.map(([x, loss]) => [x, loss]), epochs.map((one) => [one.epoch * length, one.validation_loss]))
  draw("training-accuracy", steps.map(([x, , right]) => [x, right]), epochs.map((one) => [one.epoch * length, one.validation_accuracy]), [0, 1])
  write(byId("training-loss-now"), last ? `epoch ${last.epoch}: ${number(last.validation_loss ?? last.loss)}` : "")
  byId("training-inspect").hidden = !last
  const right = last && (last.validation_accuracy ?? last.accuracy)
  write(byId("training-accuracy-now"), last ? `epoch ${last.epoch}: ${(100 * right).toFixed(1)} %` : "")
  progress()
}

function draw(id, batches, validation, span = null) {
  const known = validation.filter(([, y]) => y !== null && y !== undefined)
  const all = [...batches, ...known]
  const right = Math.max(1, ...all.map(([x]) => x))
  const [low, high] = span ?? [0, Math.max(1e-9, ...all.map(([, y]) => y))]
  const line = (points) => points.map(([x, y]) => `${((400 * x) / right).toFixed(1)},${(146 - (142 * (y - low)) / (high - low)).toFixed(1)}`).join(" ")
  const svg = byId(id)
  if (!svg.children.length) {
    for (const name of ["batches", "validation"]) {
      const part = document.createElementNS("http://www.w3.org/2000/svg", "polyline")
      part.setAttribute("class", name)
      svg.append(part)
    }
  }
  svg.children[0].setAttribute("points", line(batches))
  svg.children[1].setAttribute("points", line(known.length === 1 ? [known[0], known[0]] : known)) // one alone is a dot
  const percent = span !== null
  const texts = all.length ? { high: percent ? "100 %" : number(high), low: percent ? "0 %" : "0", end: ` over ${right.toLocaleString("en")} batches` } : { high: "", low: "", end: "" }
  for (const [name, text] of Object.entries(texts)) write(svg.closest("figure").querySelector(`.${name}`), text)
}

// -- what it mistakes

function showResults() {
  const classes = run.about?.classes ?? []
  const table = byId("training-confusion")
  const rows = results.confusion
  table.style.gridTemplateColumns = `minmax(2.2rem, 4.4rem) repeat(${rows.length}, minmax(0, 1fr))`
  const head = element("div", { role: "row" }, element("span", { class: "label" }, ""), ...classes.map((name) => element("span", { role: "columnheader", title: name }, name.slice(0, 4))))
  const body = rows.map((row, i) => {
    const sum = Math.max(1, row.reduce((a, b) => a + b, 0))
    const cells = row.map((count, j) => {
      const cell = element("span", { role: "cell", title: `${classes[i]} taken for ${classes[j]}: ${count}` }, count ? String(count) : "")
      cell.style.background = `color-mix(in srgb, var(${i === j ? "--vz-ok" : "--vz-danger"}) ${Math.round(70 * Math.sqrt(count / sum))}%, transparent)`
      return cell
    })
    return element("div", { role: "row" }, element("span", { class: "label", role: "rowheader", title: classes[i] ?? "" }, classes[i] ?? ""), ...cells)
  })
  table.replaceChildren(...(rows.length ? [head, ...body] : []))
  write(byId("training-confused"), rows.length ? "rows: labels" : "")
  const hint = results.mistakes.length ? "A click shows on the page Image what in it misled the network." : "None on the validation pictures."
  write(byId("training-no-mistakes"), rows.length ? hint : "After each epoch: what is taken for what, and the mistakes that the network is surest of.")
  byId("training-mistakes").replaceChildren(...results.mistakes.map((item) =>
    element("button", { type: "button", class: "mistake", "data-testid": "training-mistake", title: `${item.label}, taken for ${item.taken_for} (${Math.round(100 * item.probability)} %): see why on the page Image`, onclick: () => void see(item) },
      element("img", { src: `training/${results.id}/mistakes/${item.picture}.png`, alt: item.label }),
      element("span", {}, item.label), element("span", { class: "muted" }, `→ ${item.taken_for}`))))
}

/** The page Image, with this picture and this network. */
async function see(item) {
  const answer = await fetch(`training/${results.id}/mistakes/${item.picture}.png`)
  if (!answer.ok) return
  const blob = await answer.blob()
  source.file(new File([blob], `${item.label} ${item.picture}.png`, { type: "image/png" }))
  frame.go("image")
  ask({ page: "image", do: "network", model: `own:${results.id}` })
}
