// The filmstrip: kept steps at logarithmic distances, the newest, and what was pinned.

import { byId, element, throttle } from "./text.js"
import { cursor, isLive, latest, live, nameOf, nearest, on, seek, select, state } from "./state.js"
import { picture } from "./painter.js"

const MOST_PINS = 12
const cells = new Map() // key -> {root, canvas, step, drawn}
let pins = [] // {run, channel, step, image, label}
let ask = () => {}

export function start(send) {
  ask = send
  byId("pin").addEventListener("click", () => pin())
  const refresh = throttle(250, draw)
  for (const name of ["kept", "select", "drawn"]) on(name, refresh)
  on("run", () => (cells.clear(), refresh()))
  for (const name of ["cursor", "drawn", "select"]) on(name, current)
}

/** 0, 4, 16, 64, ... as far as the run has come. */
function milestones() {
  const end = latest()
  if (end === null) return []
  const steps = [0]
  for (let step = 4; step < end; step *= 4) steps.push(step)
  const kept = [...new Set(steps.map(nearest))].filter((step) => step !== end)
  return kept
}

/** Pins the picture shown now; `label` marks one that the page has pinned by itself. */
export function pin(label = null) {
  if (!state.stage || !state.run) return
  const { channel, step } = state.stage
  const same = (one) => one.run === state.run.id && one.channel === channel && one.step === step
  if (pins.some(same)) pins = label ? pins : pins.filter((one) => !same(one))
  else {
    const image = document.createElement("canvas")
    thumb(image, byId("stage-canvas"))
    if (!label) ask({ do: "pin", step }) // its pictures are never thinned out
    pins = [...pins, { run: state.run.id, channel, step, image, label: label ?? `${nameOf(channel)}@${step}` }].slice(-MOST_PINS)
  }
  draw()
}

function draw() {
  if (!state.run) return
  const wanted = milestones().map((step) => cell(`step-${step}`, step, String(step), () => seek(step)))
  const end = latest()
  if (end !== null) wanted.push(cell("latest", end, "latest", live))
  const pinned = pins.map((one) => pinCell(one))
  const strip = byId("filmstrip")
  const roots = [...wanted.map((one) => one.root), ...pinned]
  if (roots.length !== strip.children.length || roots.some((root, i) => root !== strip.children[i])) strip.replaceChildren(...roots)
  for (const one of wanted) void fill(one)
  current()
}

function cell(key, step, text, go) {
  const kept = cells.get(key)
  if (kept) {
    kept.step = step
    return kept
  }
  const canvas = element("canvas", { width: 92, height: 92 })
  const root = element("button", { type: "button", class: "frame", "aria-label": key === "latest" ? "Latest step" : `Step ${step}`, onclick: go }, canvas, text)
  const made = { root, canvas, step, drawn: null }
  cells.set(key, made)
  return made
}

function pinCell(one) {
  one.root ??= element(
    "button",
    {
      type: "button", class: "frame pinned", "aria-label": `Pinned: filter ${one.channel}, step ${one.step}`,
      title: one.run === state.run.id ? "Pinned. P on it takes it away." : "Of an earlier run: opens it",
      onclick: () => {
        if (one.run !== state.run.id) return ask({ do: "open", run: one.run, step: one.step, channel: one.channel })
        select(one.channel)
        seek(one.step)
      },
    },
    one.image, one.label,
  )
  return one.root
}

async function fill(one) {
  const wanted = `${state.run.id} ${state.revision} ${state.selected} ${one.step}`
  if (one.drawn === wanted) return
  if (one.step === state.stage?.step && state.stage.channel === state.selected) {
    thumb(one.canvas, byId("stage-canvas"))
    one.drawn = wanted
    return
  }
  one.drawn = wanted
  const bitmap = await picture(one.step, state.selected).catch(() => null)
  if (one.drawn !== wanted) return
  if (bitmap) {
    try {
      thumb(one.canvas, bitmap)
    } catch {
      one.drawn = null // the cache closed it meanwhile
    }
  } else one.drawn = null
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
  for (const one of pins) {
    const here = one.run === state.run?.id && one.channel === state.selected && one.step === now && !isLive()
    one.root?.setAttribute("aria-current", String(here))
  }
}
