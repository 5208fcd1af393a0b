// The wall: one tile per filter, as large as lets all of them be seen.

import { byId, element, number, write } from "./text.js"
import { bindTimeline, drawTimeline } from "./timeline.js"
import { latest, nameOf, on, seek, select, state } from "./state.js"

const GAP = 8
const DENSITIES = [
  { name: "roomy", chrome: 36, least: 100, gap: 10 },
  { name: "compact", chrome: 20, least: 58, gap: 6 },
  { name: "dense", chrome: 0, least: 40, gap: 4 },
]
const WORDS = { dead: "dead", "zero gradient": "zero gradient", nan: "NaN", "rolled back": "NaN: went back" }
const tiles = new Map()
let curves = [] // what the sparks are drawn from

/** The most generous layout in which `count` tiles fit into the box: {name, columns, side, gap}. */
export function fit(count, width, height) {
  let best = null
  for (const density of DENSITIES) {
    for (let columns = 1; columns <= count; columns++) {
      const rows = Math.ceil(count / columns)
      const across = (width - density.gap * (columns - 1)) / columns
      const down = (height - density.gap * (rows - 1)) / rows - density.chrome
      const side = Math.floor(Math.min(across, down))
      if (best?.name !== density.name || side > best.side) best = { name: density.name, columns, side, gap: density.gap }
    }
    if (best.side >= density.least) return best
  }
  const side = DENSITIES[2].least // scrolls: smaller pictures show nothing
  return { name: "dense", columns: Math.max(1, Math.floor((width + GAP) / (side + GAP))), side, gap: 4 }
}

function layout() {
  const wall = byId("wall")
  const count = tiles.size || 16
  const { name, columns, side, gap } = fit(count, wall.clientWidth - 4, wall.clientHeight - 4)
  wall.dataset.density = name
  const grid = byId("tiles")
  grid.style.setProperty("--columns", columns)
  grid.style.setProperty("--side", `${side}px`)
  grid.style.setProperty("--tile-gap", `${gap}px`)
  sparks(curves) // in their new size
}

/** Callbacks of the wall: its own size changes too, when the page or the text does. */
export function start() {
  new ResizeObserver(layout).observe(byId("wall"))
  on("run", build)
  on("paint", paint)
  on("drawn", ({ channels }) => channels.forEach(caption))
  on("select", mark)
  on("kept", sliders)
  on("pins", sliders)
  on("cursor", sliders)
  on("pixelated", () => byId("wall").classList.toggle("pixelated", state.pixelated))
}

function build() {
  tiles.clear()
  curves = []
  for (const channel of state.run.channels) tiles.set(channel, make(channel))
  const grid = byId("tiles")
  grid.classList.remove("poster")
  grid.replaceChildren(...[...tiles.values()].map((tile) => tile.root))
  write(byId("wall-note"), "")
  layout()
  mark()
}

function make(channel) {
  const name = nameOf(channel)
  const side = state.run.size ?? 128
  const canvas = element("canvas", { width: side, height: side, "data-testid": `tile-canvas-${channel}` })
  const badge = element("span", { class: "badge warn", hidden: true })
  const stamp = element("span", { class: "badge tile-step", hidden: true })
  const picture = element(
    "button",
    { type: "button", class: "picture", "aria-label": `Filter ${name}: show it large`, "aria-pressed": "false", onclick: () => select(channel) },
    canvas, badge, stamp,
  )
  const spark = element("canvas", { class: "spark", width: 0, height: 28, "aria-hidden": "true" })
  const score = element("span", { class: "tile-score number" })
  const slider = element("input", { type: "range", min: "0", max: "1", step: "1", value: "0", "aria-label": `Step of filter ${name}`, "data-testid": `tile-slider-${channel}` })
  bindTimeline(slider, (step) => seek(step, channel))
  const root = element(
    "figure",
    { class: "tile", "data-testid": `tile-${channel}`, "data-channel": String(channel) },
    picture, element("figcaption", {}, element("span", { class: "tile-name", title: name }, name), spark, score), slider,
  )
  return { root, canvas, picture, badge, stamp, spark, score, slider }
}

function paint({ pictures }) {
  for (const [channel, { bitmap }] of pictures) {
    const canvas = tiles.get(channel)?.canvas
    if (!canvas) continue
    if (canvas.width !== bitmap.width) canvas.width = bitmap.width
    if (canvas.height !== bitmap.height) canvas.height = bitmap.height
    canvas.getContext("2d").drawImage(bitmap, 0, 0)
  }
}

function caption(channel) {
  const tile = tiles.get(channel)
  const word = WORDS[state.badges.get(channel)] ?? ""
  const step = state.drawn.get(channel)
  write(tile.score, number(state.scores.get(channel)))
  tile.badge.hidden = word === ""
  write(tile.badge, word)
  const apart = !state.linked && state.at.get(channel) !== null && state.at.get(channel) !== undefined
  tile.stamp.hidden = !apart
  if (apart) write(tile.stamp, String(step))
  drawTimeline(tile.slider, step, latest(), channel)
}

function sliders() {
  for (const channel of tiles.keys()) if (state.drawn.has(channel)) caption(channel)
}

function mark() {
  for (const [channel, tile] of tiles) {
    const chosen = channel === state.selected
    tile.root.classList.toggle("selected", chosen)
    tile.picture.setAttribute("aria-pressed", String(chosen))
  }
}

/** Pictures of the run before are still up while those of the next one are awaited. */
export function waiting(on) {
  byId("page").classList.toggle("waiting", on)
  if (on) write(byId("wall-note"), "pictures of the run before, the next one is being prepared")
}

/** Draws the score of each filter over the steps; `rows` is the data of the curves. */
export function sparks(rows) {
  curves = rows
  for (const { channel, xs, ys, color } of rows) {
    const tile = tiles.get(channel)
    if (tile && tile.spark.clientWidth > 8) spark(tile.spark, xs, ys, color)
  }
}

function spark(canvas, xs, ys, color) {
  const scale = window.devicePixelRatio || 1
  canvas.width = Math.round(canvas.clientWidth * scale)
  canvas.height = Math.round(canvas.clientHeight * scale)
  if (xs.length < 2) return
  const pen = canvas.getContext("2d")
  let low = Infinity
  let high = -Infinity
  for (const y of ys) {
    if (y < low) low = y
    if (y > high) high = y
  }
  const [w, h, span] = [canvas.width - 2, canvas.height - 4, high - low || 1]
  const last = xs[xs.length - 1] || 1
  pen.beginPath()
  for (let i = 0; i < xs.length; i++) pen.lineTo(1 + (xs[i] / last) * w, 2 + h - ((ys[i] - low) / span) * h)
  pen.strokeStyle = color
  pen.lineWidth = 1.25 * scale
  pen.lineJoin = "round"
  pen.stroke()
}
