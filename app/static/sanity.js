// The sanity check of the page Image: how like the map stays while layers get random weights, as a curve.

import { follow } from "./look.js"
import { on } from "./state.js"
import { byId, write } from "./text.js"

const EDGE = { left: 30, right: 8, top: 8, bottom: 18 }

let ask = () => null
let asking = null
let shown = null // {points, warning, key}
let at = -1

export function start(given) {
  ask = given
  byId("image-check").addEventListener("click", () => (asking ? asking.abort() : void check()))
  const canvas = byId("image-curve")
  canvas.addEventListener("pointermove", (event) => point(nearest(event)))
  canvas.addEventListener("pointerleave", () => point(-1))
  new ResizeObserver(() => shown && draw()).observe(canvas)
  on("theme", () => shown && draw())
}

const key = ({ fields, picture }) => JSON.stringify([fields, picture.kind, picture.name])

/** A network that the method does not support cannot be checked. */
export function allow(on) {
  byId("image-check").disabled = !on
  fits()
}

/** What is shown is of another unit, method or picture by now: it goes. */
export function fits() {
  const wanted = ask()
  if (!wanted) return
  if (asking && asking.key !== key(wanted)) asking.abort()
  if (!shown || shown.key === key(wanted)) return
  shown = null
  byId("image-curve").hidden = true
  write(byId("image-check-note"), "")
}

async function check() {
  const wanted = ask()
  if (!wanted) return
  const mine = (asking = Object.assign(new AbortController(), { key: key(wanted) }))
  write(byId("image-check"), "Stop")
  const note = (text) => asking === mine && write(byId("image-check-note"), text)
  note("checking …")
  try {
    const told = await follow("check", wanted.fields, wanted.picture.blob, mine.signal, ({ done }) => note(`checking … ${done} ${done === 1 ? "point" : "points"}`))
    if (mine.signal.aborted) return
    shown = { ...told, key: mine.key }
    at = -1
    byId("image-curve").hidden = false
    draw()
    note(summary())
    byId("image-check-note").scrollIntoView({ block: "nearest" })
  } catch (error) {
    if (error.name === "AbortError" || mine.signal.aborted) note("")
    else note(error.kind ? `${error.message} ${error.hint ?? ""}` : "The server does not answer.")
  } finally {
    if (asking === mine) {
      asking = null
      write(byId("image-check"), "Check")
    }
  }
}

function summary() {
  const last = shown.points.at(-1)
  const off = shown.points.filter((one) => one.failed).length
  const said = last.failed ? `With all layers random there is no map: ${last.failed}` : `With all layers random the rank correlation with the first map is ${last.absolute.toFixed(2)}.`
  const gaps = off > (last.failed ? 1 : 0) ? `${off} of ${shown.points.length} points have no map (hollow).` : ""
  return [said, gaps, shown.warning].filter(Boolean).join(" ")
}

/** Places on the canvas, in px of the page. */
function layOut() {
  const canvas = byId("image-curve")
  const [width, height] = [canvas.clientWidth, canvas.clientHeight]
  const x = (index) => EDGE.left + (index / Math.max(1, shown.points.length - 1)) * (width - EDGE.left - EDGE.right)
  const low = Math.min(0, ...shown.points.map((one) => Math.min(one.absolute, one.signed)))
  const y = (value) => EDGE.top + ((1 - value) / (1 - low)) * (height - EDGE.top - EDGE.bottom)
  return { canvas, width, height, x, y, low }
}

function draw() {
  const { canvas, width, height, x, y, low } = layOut()
  if (!width) return
  const ratio = devicePixelRatio || 1
  Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) })
  const context = canvas.getContext("2d")
  context.setTransform(ratio, 0, 0, ratio, 0, 0)
  const style = getComputedStyle(canvas)
  const [ink, quiet, accent] = ["--vz-muted", "--vz-border", "--vz-accent"].map((name) => style.getPropertyValue(name))
  context.font = "10px system-ui, sans-serif"
  context.fillStyle = ink
  context.textAlign = "right"
  for (const value of low < -0.25 ? [1, 0, -0.5] : [1, 0.5, 0]) {
    context.fillText(String(value), EDGE.left - 5, y(value) + 3)
    context.strokeStyle = quiet
    context.beginPath()
    context.moveTo(EDGE.left, y(value))
    context.lineTo(width - EDGE.right, y(value))
    context.stroke()
  }
  context.textAlign = "left"
  context.fillText("trained", EDGE.left, height - 4)
  context.textAlign = "right"
  context.fillText("all layers random", width - EDGE.right, height - 4)
  line(context, "signed", ink, [3, 3], x, y)
  line(context, "absolute", accent, [], x, y)
  context.fillStyle = context.strokeStyle = accent
  shown.points.forEach((one, index) => {
    context.beginPath()
    context.arc(x(index), y(one.absolute), index === at ? 4.5 : 2.5, 0, 2 * Math.PI)
    if (one.failed) context.stroke()
    else context.fill()
  })
  canvas.setAttribute("aria-label", `Rank correlation of magnitudes, from trained to all random: ${shown.points.map((one) => one.absolute.toFixed(2)).join(", ")}`)
}

function line(context, name, colour, dashes, x, y) {
  context.strokeStyle = colour
  context.lineWidth = 1.5
  context.setLineDash(dashes)
  context.beginPath()
  shown.points.forEach((one, index) => !one.failed && context.lineTo(x(index), y(one[name])))
  context.stroke()
  context.setLineDash([])
  context.lineWidth = 1
}

function nearest(event) {
  const { x } = layOut()
  const places = shown.points.map((_, index) => Math.abs(x(index) - event.offsetX))
  return places.indexOf(Math.min(...places))
}

function point(index) {
  at = index
  if (!shown) return
  draw()
  const one = shown.points[index]
  if (!one) return write(byId("image-check-note"), summary())
  const down = one.layer ? `Random down to ${one.layer}` : "As trained"
  write(byId("image-check-note"), one.failed ? `${down}: ${one.failed}` : `${down}: magnitudes ${one.absolute.toFixed(2)}, signed ${one.signed.toFixed(2)}.`)
}

/** For tests and the curious. */
export const state = () => ({ busy: Boolean(asking), points: shown?.points.map((one) => one.absolute) ?? null })
