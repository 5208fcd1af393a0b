// The sweep: one filter under many settings, as tiles that live, ranked by a score.

import { byId, element, number, write } from "./text.js"
import { nameOf, on, state } from "./state.js"

const SCORES = {
  activation: ["activation", -1],
  held_out: ["held-out activation", -1],
  total_variation: ["total variation", 1],
  path_similarity: ["path similarity", -1],
}
let ask = () => {}
let told = null
let chosen = null
const tiles = new Map() // run -> {root, image, ...}

export function start(send) {
  ask = send
  byId("sweep").addEventListener("click", () => show(byId("sweep-panel").hidden))
  byId("sweep-close").addEventListener("click", close)
  byId("sweep-stop").addEventListener("click", () => ask({ do: "sweepstop" }))
  byId("sweep-form").addEventListener("submit", begin)
  byId("sweep-edit").addEventListener("click", () => edit(!byId("sweep-panel").classList.contains("editing")))
  for (const kind of ["grid", "draws"]) byId(`sweep-${kind}`).addEventListener("change", kinds)
  for (const axis of [1, 2]) {
    byId(`axis-${axis}`).addEventListener("change", () => suggest(axis))
    byId(`values-${axis}`).addEventListener("input", count)
  }
  byId("sweep-score").addEventListener("change", rank)
  byId("sweep-ranked").addEventListener("change", rank)
  byId("sweep-use").addEventListener("click", () => (ask({ do: "sweepuse", run: chosen }), close()))
  byId("sweep-open").addEventListener("click", () => (ask({ do: "open", run: chosen }), show(false)))
  byId("sweep-b").addEventListener("click", () => {
    const tile = told?.tiles.find((one) => one.run === chosen)
    if (tile) ask({ do: "compare", run: chosen, channel: told.channel, step: tile.step ?? 0 })
  })
  on("select", title)
  on("run", title)
  suggest(1)
  suggest(2)
  kinds()
}

function show(on) {
  byId("sweep-panel").hidden = !on
  byId("sweep").setAttribute("aria-expanded", String(on))
  title()
  if (on && !tiles.size) byId("axis-1").focus()
}

/** The form gives way to the tiles of a sweep; it comes back for another one. */
function edit(on) {
  byId("sweep-panel").classList.toggle("editing", on)
  byId("sweep-edit").setAttribute("aria-expanded", String(on))
}

function close() {
  ask({ do: "sweepclose" })
  show(false)
}

function title() {
  write(byId("sweep-title"), `Sweep of filter ${nameOf(told?.tiles?.length ? told.channel : state.selected)}`)
}

function suggest(axis) {
  const option = byId(`axis-${axis}`).selectedOptions[0]
  byId(`values-${axis}`).value = option?.dataset.values ?? ""
  byId(`values-${axis}`).disabled = !option?.value
  count()
}

const parts = (axis) => (byId(`axis-${axis}`).value ? byId(`values-${axis}`).value.split(/[,;]/).filter((one) => one.trim()) : [])

function kinds() {
  const grid = byId("sweep-grid").checked
  byId("sweep-axes").hidden = !grid
  byId("sweep-random").hidden = grid
  count()
}

function count() {
  const runs = Math.max(1, parts(1).length) * Math.max(1, parts(2).length)
  write(byId("sweep-count"), byId("sweep-grid").checked ? `${runs} runs` : "")
}

function begin(event) {
  event.preventDefault()
  const steps = Number(byId("sweep-steps").value) || undefined
  const grid = byId("sweep-grid").checked
  const axes = Object.fromEntries([1, 2].filter((axis) => byId(`axis-${axis}`).value).map((axis) => [byId(`axis-${axis}`).value, byId(`values-${axis}`).value]))
  chosen = null
  edit(false)
  ask({ do: "sweep", steps, ...(grid ? { axes } : { draws: Number(byId("sweep-many").value) || 0 }) })
}

/** Takes what Python says of the runs. */
export function take(sweep) {
  told = sweep
  const wanted = new Set((sweep?.tiles ?? []).map((tile) => tile.run))
  for (const [run, tile] of tiles) {
    if (wanted.has(run)) continue
    tile.root.remove()
    tiles.delete(run)
  }
  byId("sweep-panel").classList.toggle("has", wanted.size > 0)
  const real = byId("sweep-score").querySelector("[value=path_similarity]")
  real.disabled = !sweep?.real
  write(real, sweep?.real ? "path similarity to real patches" : "path similarity (find its real patches first)")
  if (real.disabled && real.selected) byId("sweep-score").value = "held_out"
  if (!sweep) return rank()
  if (byId("sweep-panel").hidden && !tiles.size) show(true)
  for (const one of sweep.tiles) draw(tiles.get(one.run) ?? make(one), one)
  const ended = sweep.tiles.filter((one) => !["running", "loading", "resting"].includes(one.state)).length
  write(byId("sweep-state"), ended === sweep.tiles.length ? `${ended} runs, done` : `${ended} of ${sweep.tiles.length} done`)
  byId("sweep-stop").disabled = ended === sweep.tiles.length
  title()
  rank()
}

function make(one) {
  const image = element("img", { alt: "", width: 128, height: 128 })
  const place = element("span", { class: "badge place" })
  const step = element("span", { class: "badge tile-step" })
  const score = element("span", { class: "tile-score number" })
  const all = Object.values(one.values)
  const values = all.length > 2 ? all.filter((text) => !/ 0( \S+)?$/.test(text)) : all // of many, those that are off go without saying
  const root = element(
    "button",
    { type: "button", class: "sweep-tile", "data-run": one.run, "data-testid": "sweep-tile", title: Object.values(one.values).join("\n"), "aria-pressed": "false", onclick: () => choose(one.run) },
    element("span", { class: "sweep-picture" }, image, place, step),
    element("span", { class: "sweep-values" }, ...(values.length ? values : ["no regularizer"]).slice(0, 4).map((text) => element("span", {}, text))), score,
  )
  const made = { root, image, place, step, score, shown: null, busy: false }
  tiles.set(one.run, made)
  return made
}

/** A tile shows the newest picture that has arrived; the next one is asked for only then. */
function draw(tile, one) {
  if (one.step === null || one.step === tile.shown || tile.busy) return
  tile.busy = true
  const next = new Image()
  const wanted = one.step
  next.onload = () => {
    tile.busy = false
    tile.shown = wanted
    tile.image.src = next.src
    write(tile.step, String(wanted))
  }
  next.onerror = () => (tile.busy = false)
  next.src = `frames/${one.run}/${wanted}/${told.channel}`
}

function choose(run) {
  chosen = run
  rank()
}

/** Badges and, if wanted, the order follow the chosen score. */
function rank() {
  const by = byId("sweep-score").value
  const sign = SCORES[by]?.[1] ?? -1
  const list = told?.tiles ?? []
  const value = (one) => one.scores[by]
  const order = list.filter((one) => value(one) !== undefined).sort((a, b) => sign * (value(a) - value(b)))
  const places = new Map(order.map((one, i) => [one.run, i + 1]))
  for (const one of list) {
    const tile = tiles.get(one.run)
    if (!tile) continue
    write(tile.place, places.has(one.run) ? String(places.get(one.run)) : "")
    tile.place.classList.toggle("best", places.get(one.run) === 1)
    write(tile.score, one.state === "failed" ? "failed" : number(value(one) ?? null))
    tile.root.setAttribute("aria-pressed", String(one.run === chosen))
  }
  const ranked = byId("sweep-ranked").checked
  const wanted = ranked ? [...order, ...list.filter((one) => !places.has(one.run))] : list
  const box = byId("sweep-tiles")
  const roots = wanted.map((one) => tiles.get(one.run)?.root).filter(Boolean)
  if (roots.length !== box.children.length || roots.some((root, i) => root !== box.children[i])) box.replaceChildren(...roots)
  const columns = ranked || list.length === 0 ? 0 : gridColumns(list)
  box.style.setProperty("--columns", columns || Math.max(1, Math.min(8, Math.ceil(Math.sqrt(list.length || 1)))))
  const one = list.find((tile) => tile.run === chosen)
  byId("sweep-chosen").hidden = !one
  if (one) write(byId("sweep-facts"), Object.values(one.values).join(" · "))
}

/** A grid of two knobs has a column for each value of the second. */
function gridColumns(list) {
  const names = Object.keys(list[0].values)
  if (names.length !== 2) return 0
  return new Set(list.map((one) => one.values[names[1]])).size
}

export const seen = () => ({
  open: !byId("sweep-panel").hidden, channel: told?.channel ?? null, chosen,
  tiles: (told?.tiles ?? []).map((one) => ({ ...one, shown: tiles.get(one.run)?.shown ?? null, place: tiles.get(one.run)?.place.textContent ?? "" })),
  order: [...byId("sweep-tiles").children].map((root) => root.dataset.run),
})
