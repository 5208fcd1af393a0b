// The filmstrip: kept steps at logarithmic distances, the newest, what was pinned, and the last picture of runs before.

import { byId, element, throttle, write } from "./text.js"
import { cursor, emit, isLive, latest, live, nameOf, nearest, on, pinned, pinsOf, seek, state } from "./state.js"
import { picture } from "./painter.js"

const MOST = 6 // pictures of runs before
const PATIENCE = 5000 // ms in which a pin is in the file, or never will be
const cells = new Map() // step, or "latest" -> {root, canvas, caption, step, drawn}
let before = [] // {run, channel, step, root}
let about = null // {run, channel, step} of the pin that the form is for
const wishes = new Map() // step -> what was asked of Python for it last, and has not been told yet
let told = { run: null, pins: [] } // as Python told them last
let patience = null
let ask = () => {}

export function start(send) {
  ask = send
  byId("pin").addEventListener("click", pin)
  byId("pin-note").addEventListener("change", () => change({ note: byId("pin-note").value }))
  byId("pin-note").addEventListener("keydown", (event) => event.key === "Enter" && byId("pin-note").blur()) // keys mean the run again
  byId("pin-all").addEventListener("change", () => change({ channel: byId("pin-all").checked ? null : about.channel }))
  byId("pin-done").addEventListener("click", () => ((about = null), current()))
  byId("pin-form").addEventListener("focusout", () => setTimeout(current))
  const refresh = throttle(250, draw)
  for (const name of ["kept", "pins", "select", "drawn"]) on(name, refresh)
  on("run", () => (cells.clear(), wishes.clear(), settle(), refresh()))
  for (const name of ["cursor", "drawn", "select", "pins"]) on(name, current)
}

/** 0, 4, 16, 64, ... as far as the run has come, where it left its parent, and pins. */
function stations() {
  const end = latest()
  if (end === null) return []
  const steps = [0]
  for (let step = 4; step < end; step *= 4) steps.push(step)
  if (state.run.root) steps.push(state.run.root)
  return [...new Set([...steps.map(nearest).filter((step) => step !== end), ...pinsOf(state.selected).keys()])].sort((a, b) => a - b)
}

const shownPin = () => state.stage && pinsOf(state.stage.channel).get(state.stage.step)

/** The pin that the form is for: the shown one; the one just made, while the run goes on; the one whose note is being written. */
function formPin() {
  const writing = byId("pin-form").contains(document.activeElement)
  const kept = about?.run === state.run?.id && about?.channel === state.selected && (writing || isLive())
  if (shownPin() && !(kept && writing)) about = { run: state.run.id, ...state.stage }
  else if (!kept) about = null
  return about && pinsOf(about.channel).get(about.step)
}

/** Pins the shown step of the shown filter for good; once more takes the pin away. */
export function pin() {
  if (!state.stage) return
  const { step, channel } = state.stage
  about = { run: state.run.id, channel, step }
  const there = shownPin()
  if (there) state.pins = state.pins.filter((one) => one !== there)
  else state.pins.push({ step, channel, note: "" })
  wish({ step, filter: (there ?? { channel }).channel, on: !there, note: "" })
  emit("pins")
  draw()
}

function wish(fields) {
  wishes.set(fields.step, fields)
  ask({ do: "pin", ...fields })
  clearTimeout(patience)
  patience = setTimeout(() => (wishes.clear(), settle()), PATIENCE)
}

const settle = () => told.run === state.run?.id && pinned(told.pins)

/** Takes the pins of the file. Those that are older than what was asked since would undo it for a moment. */
export function take(news) {
  if (!news) return
  told = news
  const there = (step, channel) => told.pins.find((one) => one[0] === step && one[1] === channel)
  for (const { step, filter, on, note, instead } of [...wishes.values()]) {
    const done = on ? there(step, filter)?.[2] === note && (instead === undefined || !there(step, instead)) : !there(step, filter)
    if (done) wishes.delete(step)
  }
  if (!wishes.size) settle()
}

/** Another note on the shown pin, or it is of this filter or of all from now on. */
function change(what) {
  const there = about && pinsOf(about.channel).get(about.step)
  if (!there) return
  const before = there.channel
  Object.assign(there, what)
  wish({ step: there.step, filter: there.channel, on: true, note: there.note, ...(before !== there.channel && { instead: before }) })
  emit("pins")
}

/** The run that is shown makes room for another: its last picture stays, as a way back. */
export function remember() {
  if (!state.stage || !state.run) return
  const { channel, step } = state.stage
  const run = state.run.id
  const image = element("canvas", {})
  thumb(image, byId("stage-canvas"))
  const root = element(
    "button",
    { type: "button", class: "frame before", "aria-label": `An earlier run: filter ${channel}, step ${step}`, title: "An earlier run: opens it", onclick: () => ask({ do: "open", run, step, channel }) },
    image, element("span", {}, "before"),
  )
  before = [...before.filter((one) => one.run !== run), { run, channel, step, root }].slice(-MOST)
}

function draw() {
  if (!state.run) return
  const wanted = stations().map((step) => cell(step, step, () => seek(step)))
  const end = latest()
  if (end !== null) wanted.push(cell("latest", end, live))
  const roots = [...wanted, ...before.filter((one) => one.run !== state.run.id)].map((one) => one.root)
  const strip = byId("filmstrip")
  if (roots.length !== strip.children.length || roots.some((root, i) => root !== strip.children[i])) strip.replaceChildren(...roots)
  wanted.forEach((one, i) => mark(one, wanted[i + 1]?.step ?? Infinity))
  for (const one of wanted) void fill(one)
  current()
}

function cell(key, step, go) {
  const known = cells.get(key)
  if (known) {
    known.step = step
    return known
  }
  const canvas = element("canvas", { width: 92, height: 92 })
  const caption = element("span", {}, key === "latest" ? "latest" : String(step))
  const root = element("button", { type: "button", class: "frame", "aria-label": key === "latest" ? "Latest step" : `Step ${step}`, onclick: go }, canvas, caption)
  const made = { root, canvas, caption, step, drawn: null }
  cells.set(key, made)
  return made
}

/** What a cell says besides its number: pinned, with which note, and which knobs were turned before the next one. */
function mark(one, next) {
  const pin = one === cells.get("latest") ? undefined : pinsOf(state.selected).get(one.step)
  const isPin = pin !== undefined
  const note = pin?.note ?? ""
  const turned = state.knobs.filter(([step]) => step >= one.step && step < next).map(([step, name, , text]) => `${text ?? name} at step ${step}`)
  one.root.classList.toggle("pinned", isPin)
  one.root.classList.toggle("turned", turned.length > 0)
  one.root.classList.toggle("inherited", one.step < (state.run.root ?? 0))
  one.root.title = [isPin && `Pinned${pin.channel === null ? " for all filters" : ""}${note ? `: ${note}` : ""}`, one.step < (state.run.root ?? 0) && "Of the run that this one left", ...turned].filter(Boolean).join("\n")
  if (one !== cells.get("latest")) write(one.caption, note || String(one.step))
}

async function fill(one) {
  const wanted = `${state.run.id} ${state.revision} ${state.selected} ${one.step}`
  if (one.drawn === wanted) return
  one.drawn = wanted
  if (one.step === state.stage?.step && state.stage.channel === state.selected) return thumb(one.canvas, byId("stage-canvas"))
  const bitmap = await picture(one.step, state.selected).catch(() => null)
  if (one.drawn !== wanted) return
  try {
    if (bitmap) thumb(one.canvas, bitmap)
    else one.drawn = null
  } catch {
    one.drawn = null // the cache closed it meanwhile
  }
}

function thumb(canvas, source) {
  Object.assign(canvas, { width: 92, height: 92 })
  const pen = canvas.getContext("2d")
  pen.imageSmoothingQuality = "high"
  pen.drawImage(source, 0, 0, 92, 92)
}

function current() {
  const now = cursor()
  for (const [key, one] of cells) {
    const here = key === "latest" ? isLive() : !isLive() && one.step === now
    one.root.setAttribute("aria-current", String(here))
  }
  const isPin = Boolean(shownPin())
  byId("pin").setAttribute("aria-pressed", String(isPin))
  byId("pin").title = byId("pin").ariaLabel = isPin ? "Take the pin away (P)" : "Pin this step for good (P)"
  const pin = formPin()
  const field = byId("pin-note")
  byId("pin-form").hidden = !pin
  if (!pin) return
  byId("pin-all").checked = pin.channel === null
  write(byId("pin-step"), `step ${about.step}`)
  byId("pin-done").hidden = Boolean(shownPin()) // there the pin's own button is it
  if (document.activeElement !== field) field.value = pin.note
  field.setAttribute("aria-label", `Note on the pin at step ${about.step}, ${pin.channel === null ? "all filters" : `filter ${nameOf(about.channel)}`}`)
}
