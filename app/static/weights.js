// The page Weights: a block of a layer's kernels, or filters carried back to pixels one after the other.
// What is asked for is dropped when something else is wished.

import * as frame from "./frame.js"
import * as notices from "./notices.js"
import * as source from "./source.js"
import * as tiles from "./tiles.js"
import { legend, weights as decode } from "./colours.js"
import { choose, complain, offer, post } from "./look.js"
import { byId, element, number, write } from "./text.js"

const VIEWS = ["kernels", "weights", "picture"]
const SHOWN = 0.99 // of the values of a filter that was carried back lie within its scale: a few are very large
const CARRIED = 16 // filters that are carried back at once
const HELP = {
  kernels: "Weights as they are. A click on a filter shows what excites it.",
  weights: "What the weights alone make of a filter, from the middle of its map back to the pixels, rectifiers left out.",
  picture: "The filter's whole map on a picture, carried back through the transposed weights and the picture's own poolings.",
}

let ask = () => {}
let network = null
let asked = new URLSearchParams()
let seen_ = false
const wish = { layer: "", view: "kernels", show: "colours", shared: null, first: 0, skip: 0 }
let shown = null // {layer, view, model, first, skip, whole, pictures, top, norms, alike, all, filters}
let asking = null // AbortController of what is asked for
let done = "" // what was asked for last, when it has come
let at = null // the filter under the pointer or chosen with keys

export function start(send) {
  ask = send
  const query = new URLSearchParams(location.search)
  if (query.get("page") === "weights") asked = query
  if (VIEWS.includes(asked.get("view"))) wish.view = asked.get("view")
  if (asked.get("show") === "sign") wish.show = "sign"
  if (["own", "one"].includes(asked.get("scale"))) wish.shared = asked.get("scale") === "one"
  for (const name of ["first", "skip"]) if (/^\d{1,6}$/.test(asked.get(name) ?? "")) wish[name] = Number(asked.get(name))
  byId("weights-view").value = wish.view
  byId("weights-show").value = wish.show
  byId("weights-ramp").getContext("2d").putImageData(legend(), 0, 0)
  tiles.start({ point, press: ascend })
  byId("weights-model").addEventListener("change", () => ask({ do: "network", model: byId("weights-model").value }))
  byId("weights-layer").addEventListener("change", () => want({ layer: byId("weights-layer").value, first: 0, skip: 0 }))
  byId("weights-layer-previous").addEventListener("click", () => step(-1))
  byId("weights-layer-next").addEventListener("click", () => step(1))
  byId("weights-view").addEventListener("change", () => want({ view: byId("weights-view").value, shared: null, first: 0, skip: 0 }))
  byId("weights-show").addEventListener("change", () => restyle({ show: byId("weights-show").value }))
  byId("weights-shared").addEventListener("change", () => restyle({ shared: byId("weights-shared").checked }))
  byId("weights-ascend").addEventListener("click", () => ascend(at))
  byId("weights-open").addEventListener("click", () => byId("image-file").click())
  for (const [name, key] of [["filters", "first"], ["inputs", "skip"]]) {
    byId(`weights-${name}-back`).addEventListener("click", () => turn(name, key, -1))
    byId(`weights-${name}-on`).addEventListener("click", () => turn(name, key, 1))
  }
  source.listen(() => {
    showPicture()
    if (wish.view === "picture") void look()
  })
}

export const ready = () => {}

export function take(name, text) {
  if (!text) return name === "busy" && write(byId("weights-busy"), "")
  const told = JSON.parse(text)
  if (name === "busy") write(byId("weights-busy"), `${told} …`)
  if (name === "models") offer(byId("weights-model"), told, network?.model)
  if (name === "network") enter(told)
}

export function seen(on) {
  seen_ = on
  if (!on) return asking?.abort()
  showPicture()
  void look()
}

export const drops = "Drop a picture"

/** A picture that was dropped. */
export function bring(file) {
  if (/\.(zip|vizrun)$/i.test(file.name)) return false
  want({ view: "picture", shared: null, first: 0, skip: 0 }, false)
  source.file(file)
  return true
}

// -- networks and layers

const layers = () => network.layers.filter((layer) => layer.kind === "conv" || layer.kind === "linear")

function enter(told) {
  const same = network?.model === told.model
  network = told
  choose(byId("weights-model"), told.model)
  byId("weights-model").title = told.title
  if (same) return
  const paths = layers().map((layer) => layer.path)
  const wanted = asked.get("layer")
  if (asked.get("model") !== told.model && wish.layer) Object.assign(wish, { first: 0, skip: 0 })
  wish.layer = paths.includes(wanted) ? wanted : "" // the first one that the picture goes through
  byId("weights-layer").replaceChildren(...layers().map((layer) => element("option", { value: layer.path }, `${layer.path} (${layer.channels})`)))
  void look()
}

function want(change, now = true) {
  Object.assign(wish, change)
  byId("weights-layer").value = wish.layer
  byId("weights-view").value = wish.view
  frame.place()
  if (now) void look()
}

function step(by) {
  const paths = network ? layers().map((layer) => layer.path) : []
  const next = paths[paths.indexOf(wish.layer) + by]
  if (next) want({ layer: next, first: 0, skip: 0 })
}

function turn(name, key, by) {
  if (!shown) return
  const [filters, inputs] = shown.view === "kernels" ? shown.block : [CARRIED, 0]
  want({ [key]: Math.max(0, shown[key] + by * (name === "filters" ? filters : inputs)) })
}

// -- the questions

async function look() {
  if (!seen_ || !network) return
  byId("weights-from").hidden = wish.view !== "picture"
  if (wish.view === "picture" && !source.current()) return void source.example(document.querySelector("[data-example]").dataset.example)
  const picture = wish.view === "picture" ? source.current() : null
  if (picture && !picture.blob) return
  asking?.abort()
  const mine = (asking = new AbortController())
  const wanted = { ...wish, model: network.model, picture }
  byId("weights-centre").classList.add("waiting")
  try {
    const told = await post("kernels", { model: wanted.model, layer: wanted.layer, first: wanted.first, skip: wanted.skip }, null, mine.signal)
    if (mine.signal.aborted) return
    const about = { ...told, model: wanted.model, view: wanted.view, values: null, brightest: [] }
    if (wanted.view === "kernels") show({ ...about, all: decode(told), filters: count(told.first, told.shape[0]) })
    else await carry(about, wanted, mine)
    if (mine.signal.aborted) return
    notices.remove("weights")
    done = JSON.stringify({ ...wish, model: wanted.model, picture: picture?.name })
  } catch (error) {
    if (error.name === "AbortError" || mine.signal.aborted) return
    if (picture && error.kind === "PictureError") source.refused(picture)
    complain("weights", error, error.kind ? null : () => void look())
  } finally {
    if (asking === mine) {
      asking = null
      byId("weights-centre").classList.remove("waiting")
    }
  }
}

const count = (first, length) => Array.from({ length }, (_, index) => first + index)

/** Filters one after the other; each is shown when it is there. */
async function carry(about, wanted, mine) {
  const last = Math.min(about.whole[0], about.first + CARRIED)
  const filters = []
  let all = null
  for (let channel = about.first; channel < last; channel++) {
    write(byId("weights-busy"), `carrying filter ${channel} back …`)
    let told
    try {
      told = await post("carry", { model: wanted.model, layer: about.layer, channel }, wanted.picture?.blob, mine.signal)
    } catch (error) {
      if (error.kind !== "LayerError") throw error
      return refuse(about, error)
    } finally {
      write(byId("weights-busy"), "")
    }
    if (mine.signal.aborted) return
    const one = decode(told)
    const area = one.data.length
    if (!all) all = { ...one, data: new Float32Array(area * (last - about.first)), outputs: 0 }
    all.data.set(one.data, area * filters.length)
    all = { ...all, outputs: all.outputs + 1 }
    filters.push(channel)
    show({ ...about, pictures: true, all, filters })
  }
  if (wanted.picture) source.accepted(wanted.picture)
}

/** This layer's filters cannot be carried back so; the weights of its kernels are known all the same. */
function refuse(about, error) {
  const other = wish.view === "weights" ? element("button", { type: "button", class: "tool", onclick: () => want({ view: "picture", shared: null }) }, "Use a picture") : null
  show({ ...about, all: null, filters: [] })
  byId("weights-note").replaceChildren(`${error.message} ${error.hint ?? ""} `, ...(other ? [other] : []))
  byId("weights-note").hidden = false
}

// -- what has come

function show(next) {
  shown = next
  wish.layer = next.layer
  byId("weights-layer").value = next.layer
  byId("weights-note").hidden = true
  write(byId("weights-help"), next.view === "kernels" && !next.pictures ? `${HELP.kernels} A row is a filter, a column an input.` : HELP[next.view])
  if (!next.filters.includes(at)) at = next.filters[0] ?? null
  redraw()
  const [outputs, inputs, height, width] = next.whole
  write(byId("weights-shape"), `${outputs} filters × ${inputs} inputs${height * width > 1 ? ` × ${height} × ${width}` : ""}`)
  const across = next.view === "kernels" ? next.all.inputs : 0
  const down = next.view === "kernels" ? next.all.outputs : Math.min(CARRIED, outputs - next.first)
  range("filters", next.first, down, outputs)
  range("inputs", next.skip, across || inputs, inputs)
  write(byId("weights-alike"), next.pairs ? `${next.pairs} ${next.pairs === 1 ? "pair of filters is" : "pairs of filters are"} near-duplicates or negatives` : "")
  frame.place()
}

function range(name, first, length, all) {
  const node = byId(`weights-${name}`)
  node.hidden = length >= all && first === 0
  write(node.children[1], `${name} ${first}–${first + length - 1} of ${all}`)
  node.firstElementChild.disabled = first === 0
  node.lastElementChild.disabled = first + length >= all
}

/** One scale for all is for what was made to be compared; what is carried back differs by powers of ten. */
const shared = () => wish.shared ?? wish.view === "kernels"

const coloured = () => wish.show === "colours" && shown.pictures

function redraw() {
  const own = shown.filters.map((_, index) => brightest(index))
  const most = shown.view === "kernels" ? Math.max(shown.top, 1e-30) : Math.max(...own)
  const reaches = own.map((reach) => (shared() ? most : reach))
  byId("weights-shared").checked = shared()
  byId("weights-colours").hidden = !shown.all || !shown.pictures || shown.all.inputs !== 3
  byId("weights-legend").hidden = !shown.all || (coloured() && shown.all.inputs === 3)
  write(byId("weights-low"), shared() ? number(-most) : "least")
  write(byId("weights-high"), shared() ? `+${number(most)}` : "most of each")
  byId("weights-legend").setAttribute("aria-label", `Blue below 0, black at 0, orange above, up to ${shared() ? number(most) : "the most of each"}`)
  tiles.show(shown, reaches, coloured())
  point(at)
}

const part = (index) => {
  const size = shown.all.inputs * shown.all.height * shown.all.width
  return shown.all.data.subarray(index * size, (index + 1) * size)
}

const largest = (index) => part(index).reduce((most, value) => Math.max(most, Math.abs(value)), 0)

/** The magnitude that is painted brightest: the largest weight, or the quantile of what was carried back. */
const brightest = (index) => (shown.brightest[index] ??= limit(index))

function limit(index) {
  if (shown.view === "kernels") return Math.max(1e-30, largest(index))
  const some = part(index).map(Math.abs).filter(Boolean).sort()
  if (!some.length) return 1
  const place = SHOWN * (some.length - 1)
  const low = some[Math.floor(place)]
  return low + (place % 1) * (some[Math.ceil(place)] - low)
}

function restyle(change) {
  Object.assign(wish, change)
  frame.place()
  if (shown) redraw()
}

/** A filter is under the pointer, or was walked to. */
function point(channel) {
  at = channel
  const index = shown ? shown.filters.indexOf(channel) : -1
  byId("weights-ascend").disabled = index < 0
  tiles.mark(index < 0 ? null : channel)
  if (index < 0) return (write(byId("weights-filter"), ""), write(byId("weights-facts"), ""))
  write(byId("weights-filter"), `${channel} of ${shown.layer}`)
  tiles.large(byId("weights-large"), index)
  const parts = []
  if (shown.view === "kernels") parts.push(`Norm ${number(shown.norms[index])}, largest ${shown.all.inputs < shown.whole[1] ? "here " : ""}${number(largest(index))}.`)
  else parts.push(`Largest ${number(largest(index))}.`)
  const like = shown.alike.filter(([a, b]) => a === channel || b === channel).map(([a, b, cosine]) => `${a === channel ? b : a} (cosine ${cosine.toFixed(2)})`)
  if (like.length) parts.push(`Much like ${like.join(", ")}.`)
  write(byId("weights-facts"), parts.join(" "))
}

function ascend(channel) {
  if (shown && channel !== null) ask({ do: "ascend", model: shown.model, layer: shown.layer, channel })
}

function showPicture() {
  const now = source.current()
  if (!now?.blob) return
  const picture = byId("weights-picture")
  URL.revokeObjectURL(picture.src)
  picture.src = URL.createObjectURL(now.blob)
  picture.alt = now.name
}

// -- address, keys, tests

export function query() {
  if (!network) return String(new URLSearchParams([...asked].filter(([name]) => name !== "page")))
  const parts = new URLSearchParams({ model: network.model, layer: wish.layer })
  if (wish.view !== "kernels") parts.set("view", wish.view)
  if (wish.show !== "colours") parts.set("show", wish.show)
  if (wish.shared !== null) parts.set("scale", wish.shared ? "one" : "own")
  if (wish.first) parts.set("first", wish.first)
  if (wish.skip) parts.set("skip", wish.skip)
  return String(parts)
}

export const actions = {
  previousLayer: () => step(-1),
  nextLayer: () => step(1),
  search: () => byId("weights-layer").focus(),
}

/** What is shown, for tests and the curious. */
export const state = () => ({
  model: shown?.model ?? null, layer: shown?.layer ?? null, view: shown?.view ?? null, filters: shown?.filters ?? [], pictures: shown?.pictures ?? null,
  skip: shown?.skip ?? 0, inputs: shown?.all?.inputs ?? 0, top: shown?.top ?? 0, at, busy: Boolean(asking), done, place: tiles.place(),
})
