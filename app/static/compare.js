// Picture B beside the shown one (A): under a divider, side by side, or what differs. B may be of any run.

import { place } from "./frame.js"
import { picture as decoded } from "./frames.js"
import { byId, element, throttle, write } from "./text.js"
import { cursor, emit, nameOf, on, state } from "./state.js"

const VIEWS = ["wipe", "side", "difference"]
const GAIN = 2 // of the difference: half the range of the pixels fills the picture's
let ask = () => {}
let b = null // {run, channel, step, title, channels, steps, revision}
let near = [] // [id, title] of runs that B is offered from
let view = "wipe"
let follows = false
let fetching = 0

export function start(send) {
  ask = send
  const asked = new URLSearchParams(location.search).get("view")
  if (VIEWS.includes(asked)) view = asked
  byId("setb").addEventListener("click", setB)
  byId("b-close").addEventListener("click", clear)
  byId("wipe-at").addEventListener("input", wipe)
  for (const name of VIEWS) byId(`view-${name}`).addEventListener("click", () => look(name))
  byId("b-run").addEventListener("change", () => choose({ run: byId("b-run").value }))
  byId("b-filter").addEventListener("change", () => choose({ channel: Number(byId("b-filter").value) }))
  byId("b-step").addEventListener("change", () => choose({ step: Math.max(0, Math.round(Number(byId("b-step").value)) || 0) }))
  byId("b-follow").addEventListener("change", () => ((follows = byId("b-follow").checked), follow()))
  on("drawn", () => (differ(), follow()))
  on("cursor", follow)
  on("run", () => b && show())
  new ResizeObserver(() => b && wipe()).observe(byId("viewport"))
}

/** The picture shown now becomes B; once more takes it away. */
export function setB() {
  if (b) return clear()
  if (!state.stage || !state.run) return
  b = { run: state.run.id, ...state.stage, title: "", channels: state.run.channels, steps: [], revision: state.revision }
  copy(byId("stage-canvas"), byId("stage-b"))
  tell()
  show()
}

/** Another run, from outside: the Library. */
export const choose = (what) => {
  b = { run: state.run?.id, channel: state.selected, step: null, channels: [], steps: [], title: "", ...b, ...what, drawn: false }
  if (what.run) b.steps = []
  fetching++ // a picture that is on its way is not the one that is wanted now
  tell()
}

function clear() {
  b = null
  follows = byId("b-follow").checked = false
  ask({ do: "compare" })
  show()
}

const tell = () => ask({ do: "compare", run: b.run, channel: b.channel, step: b.step ?? undefined })

/** Python says what B is: the kept step that is nearest to what was asked for. */
export function take(told) {
  if (!told) return
  const steps = []
  for (const [first, last, stride] of told.steps) for (let step = first; step <= last; step += Math.max(1, stride)) steps.push(step)
  const same = b && b.run === told.run && b.channel === told.channel && b.step === told.step && b.drawn
  b = { ...told, steps, drawn: same }
  show()
  if (!same) void fetchB()
}

/** Which runs may be chosen without going to the Library. */
export function offer(runs) {
  near = runs
  if (b) show()
}

async function fetchB() {
  const mine = ++fetching
  const { run, channel, step, revision } = b
  try {
    const answer = await fetch(`frames/${encodeURIComponent(run)}/${step}/${channel}?r=${revision}`)
    if (!answer.ok) throw new Error(answer.statusText)
    const bitmap = await decoded(await answer.arrayBuffer(), answer.headers.get("Content-Type"))
    if (mine === fetching && b) {
      copy(bitmap, byId("stage-b"))
      b.drawn = true
      show()
    }
    bitmap.close()
  } catch {
    if (mine === fetching && b) byId("compare").classList.add("missing")
  }
}

/** With "same step", B goes to the kept step nearest to the cursor. */
function follow() {
  if (!b || !follows || !b.steps.length) return
  const at = cursor() ?? 0
  const step = b.steps.reduce((best, one) => (Math.abs(one - at) < Math.abs(best - at) ? one : best), b.steps[0])
  if (step === b.step) return
  Object.assign(b, { step, drawn: false })
  void fetchB()
  curve()
}
const curve = throttle(1000, () => b && tell())

function copy(source, canvas) {
  if (canvas.width !== source.width) canvas.width = source.width
  if (canvas.height !== source.height) canvas.height = source.height
  canvas.getContext("2d").drawImage(source, 0, 0)
}

function look(name) {
  view = name
  show()
}

function show() {
  const on = Boolean(b)
  byId("compare").hidden = !on
  byId("compare").classList.remove("missing")
  byId("stage-b").hidden = !on || view === "difference"
  byId("stage-d").hidden = !on || view !== "difference"
  byId("wipe").hidden = !on || view !== "wipe"
  byId("viewport").classList.toggle("side", on && view === "side")
  byId("setb").setAttribute("aria-pressed", String(on))
  byId("setb").title = byId("setb").ariaLabel = on ? "Take B away (X)" : "Compare: set B to this picture (X)"
  for (const name of VIEWS) byId(`view-${name}`).setAttribute("aria-pressed", String(name === view))
  place()
  emit("compare")
  if (!on) return write(byId("difference"), "")
  options()
  write(byId("wipe-b"), `B · ${where()}`)
  byId("stage-b").setAttribute("aria-label", `Picture B: ${where()}`)
  wipe()
  differ()
}

const where = () => `${b.run === state.run?.id ? "" : "another run · "}${nameOf(b.channel)} · step ${b.step}`

function options() {
  const runs = new Map([[state.run?.id, "this run"], ...near])
  if (!runs.has(b.run)) runs.set(b.run, b.title || b.run)
  const list = byId("b-run")
  list.replaceChildren(...[...runs].filter(([id]) => id).map(([id, title]) => element("option", { value: id, title: id }, title)))
  list.value = b.run
  byId("b-filter").replaceChildren(...b.channels.map((channel) => element("option", { value: String(channel) }, nameOf(channel))))
  byId("b-filter").value = String(b.channel)
  if (document.activeElement !== byId("b-step")) byId("b-step").value = b.step ?? ""
  byId("b-step").max = b.steps[b.steps.length - 1] ?? ""
}

/** The divider is where the slider is; the picture below it may be zoomed. */
export function wipe() {
  if (!b) return
  const at = Number(byId("wipe-at").value)
  const box = byId("viewport").getBoundingClientRect()
  const picture = byId("stage-b").getBoundingClientRect()
  const share = view === "wipe" && picture.width ? (100 * (box.left + (at / 100) * box.width - picture.left)) / picture.width : 0
  byId("wipe").style.setProperty("--at", `${at}%`)
  byId("stage-b").style.setProperty("--wipe", `${Math.min(100, Math.max(0, share))}%`)
}

/** A minus B around grey, and how far they are apart on average. */
function differ() {
  if (view === "side" && b) return write(byId("difference"), `B · ${where()}`)
  if (!b?.drawn || view !== "difference") return write(byId("difference"), "")
  const [one, other] = [byId("stage-canvas"), byId("stage-b")]
  const { width, height } = one
  const scaled = new OffscreenCanvas(width, height)
  const pen = scaled.getContext("2d")
  pen.drawImage(other, 0, 0, width, height)
  const first = one.getContext("2d").getImageData(0, 0, width, height)
  const second = pen.getImageData(0, 0, width, height).data
  const pixels = first.data
  let sum = 0
  for (let i = 0; i < pixels.length; i += 4) {
    for (let c = i; c < i + 3; c++) {
      const by = pixels[c] - second[c]
      sum += by < 0 ? -by : by
      pixels[c] = 128 + (GAIN * by) / 2
    }
  }
  const canvas = byId("stage-d")
  Object.assign(canvas, { width, height })
  canvas.getContext("2d").putImageData(first, 0, 0)
  write(byId("difference"), `mean |A − B| ${(sum / (0.75 * pixels.length)).toFixed(1)} of 255`)
}

/** Its part of the address. */
export function query() {
  if (!b || b.step === null) return ""
  return `&b=${b.run},${b.channel},${b.step}${view === "wipe" ? "" : `&view=${view}`}`
}

export const told = () => b && { run: b.run, channel: b.channel, step: b.step, view, drawn: Boolean(b.drawn) }
