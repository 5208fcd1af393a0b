// History sliders: the whole plan is their length, so that a position keeps its meaning while the run grows.

import { horizon, latest, live, move, nearest, pinsOf, seek, state } from "./state.js"

const MARKS = 40 // pins on one slider: more could not be told apart

/** Lets `slider` ask for kept steps; at its end it follows the run. */
export function bindTimeline(slider, ask) {
  slider.addEventListener("input", () => {
    const step = Number(slider.value)
    const end = latest()
    if (end === null) return
    ask(step >= end ? null : nearest(step))
  })
  slider.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key]
    if (by === undefined || event.ctrlKey || event.metaKey || event.altKey) return
    event.preventDefault() // a native step may land where no picture was kept, and would snap back
    event.stopPropagation()
    if (slider.id === "history" || state.linked) move(event.shiftKey ? 10 * Math.sign(by) : by)
    else moveAlone(slider, by, ask)
  })
}

function moveAlone(slider, by, ask) {
  const now = state.kept.indexOf(nearest(Number(slider.value)))
  const target = Math.max(0, now + by)
  ask(target >= state.kept.length ? null : state.kept[target])
}

/** Puts the thumb at the drawn step and fills the track as far as the run has come. */
export function drawTimeline(slider, step, end, channel) {
  const last = horizon()
  if (Number(slider.max) !== last) slider.max = String(last)
  if (step === null || step === undefined) return
  if (Number(slider.value) !== step) slider.value = String(step)
  slider.style.setProperty("--fill", `${(100 * step) / last}%`)
  slider.style.setProperty("--done", `${(100 * (end ?? step)) / last}%`)
  mark(slider, pinsOf(channel), last)
  slider.setAttribute("aria-valuetext", `step ${step} of ${last}`)
}

/** Where the filter has pins. */
function mark(slider, pins, last) {
  const key = JSON.stringify([last, ...[...pins.values()].map((pin) => [pin.step, pin.note])])
  if (slider.dataset.pins === key) return
  slider.dataset.pins = key
  const at = (step) => `calc(${(100 * step) / last}%`
  const marks = [...pins.keys()].slice(0, MARKS).map((step) => `linear-gradient(90deg, transparent ${at(step)} - 2px), var(--vz-fg) 0 ${at(step)} + 2px), transparent 0)`)
  slider.style.setProperty("--pins", marks.length ? marks.join(", ") : "linear-gradient(transparent, transparent)")
  slider.title = [...pins.values()].map((pin) => `Pinned: step ${pin.step}${pin.note ? ` ${pin.note}` : ""}`).join("\n")
}

/** Ticks under the large slider: kept steps, and above them where a knob was turned. */
export function drawTicks(canvas) {
  const scale = window.devicePixelRatio || 1
  const [w, h] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)]
  if (!w || !h) return
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h })
  const pen = canvas.getContext("2d")
  const style = getComputedStyle(canvas)
  const last = horizon()
  const x = (step) => Math.round((step / last) * (w - 1))
  pen.clearRect(0, 0, w, h)
  pen.fillStyle = style.getPropertyValue("--vz-muted")
  let before = -Infinity
  for (const step of state.kept) {
    if (x(step) - before < 2 * scale) continue // denser than the screen: a dotted line says "all"
    before = x(step)
    pen.fillRect(before, Math.round(h * 0.45), Math.max(1, Math.round(scale)), Math.round(h * 0.35))
  }
  pen.fillStyle = style.getPropertyValue("--vz-warn")
  for (const [step] of state.knobs) {
    pen.beginPath()
    pen.moveTo(x(step), 0)
    pen.lineTo(x(step) - 3 * scale, h)
    pen.lineTo(x(step) + 3 * scale, h)
    pen.fill()
  }
}

export const first = () => state.kept.length && seek(state.kept[0])
export { live }
