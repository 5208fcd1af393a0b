// The canvas of the page Weights: filters as pictures, or a matrix of kernels with a row for each filter.

import { byId, number } from "./text.js"
import { kernel, matrix, sheet } from "./colours.js"

const GAP = 5
const MOST = 148 // px of a picture on the page
const LEAST = 40
const EDGE = { left: 40, top: 16 } // px for the numbers of rows and columns
const LETTER = "600 10px system-ui, sans-serif"

let shown = null
let reaches = []
let coloured = true
let painted = [] // a canvas for each filter, or one for the matrix
let marked = null
let spot = { columns: 1, side: 1, rows: 1, zoom: 1, cell: [1, 1] }
let callbacks = { point() {}, press() {} }

export function start(given) {
  callbacks = given
  const canvas = byId("weights-grid")
  canvas.addEventListener("pointermove", (event) => hover(find(event)))
  canvas.addEventListener("pointerleave", () => hover(null))
  canvas.addEventListener("click", (event) => {
    const found = find(event)
    if (found) callbacks.press(found.channel)
  })
  canvas.addEventListener("keydown", walk)
  new ResizeObserver(() => shown && draw()).observe(byId("weights-scroll"))
}

/** Shows filters; `limits` are the magnitudes that are painted brightest, one for each. */
export function show(next, limits, inColours) {
  Object.assign(byId("weights-tip"), { hidden: true })
  shown = next
  reaches = limits
  coloured = inColours
  if (!shown.all) painted = []
  else if (shown.pictures) painted = shown.filters.map((_, index) => sheet(kernel(shown.all, index, reaches[index], coloured)))
  else painted = [sheet(matrix(shown.all, reaches))]
  draw()
}

export function mark(channel) {
  marked = channel
  outline()
}

/** A filter as large as a canvas: its picture, or its kernels side by side. */
export function large(canvas, index) {
  const { all } = shown
  const context = canvas.getContext("2d")
  context.imageSmoothingEnabled = false
  if (shown.pictures) {
    Object.assign(canvas, { width: all.width, height: all.height })
    return context.drawImage(painted[index], 0, 0)
  }
  const size = all.inputs * all.height * all.width
  const across = Math.ceil(Math.sqrt(all.inputs))
  const gap = all.height * all.width > 1 ? 1 : 0
  const cell = [all.width + gap, all.height + gap]
  Object.assign(canvas, { width: across * cell[0] - gap, height: across * cell[1] - gap })
  const row = sheet(matrix({ ...all, data: all.data.subarray(index * size, (index + 1) * size), outputs: 1 }, [reaches[index]]))
  for (let input = 0; input < all.inputs; input++)
    context.drawImage(row, input * cell[0], 0, all.width, all.height, (input % across) * cell[0], Math.floor(input / across) * cell[1], all.width, all.height)
}

function arrange() {
  const box = byId("weights-scroll")
  const [width, height] = [box.clientWidth - 6, box.clientHeight - 6]
  if (!shown.pictures) {
    const sheet = painted[0]
    const fit = Math.min((width - EDGE.left) / sheet.width, Math.max((height - EDGE.top) / sheet.height, 12 / (shown.all.height + 1)))
    const zoom = Math.max(1, Math.min(24, Math.floor(fit)))
    const gap = shown.all.height * shown.all.width > 1 ? 1 : 0
    return { zoom, cell: [(shown.all.width + gap) * zoom, (shown.all.height + gap) * zoom], across: EDGE.left + sheet.width * zoom, down: EDGE.top + sheet.height * zoom }
  }
  let best = null
  for (let columns = 1; columns <= shown.filters.length; columns++) {
    const side = Math.floor(Math.min(MOST, (width + GAP) / columns - GAP))
    const rows = Math.ceil(shown.filters.length / columns)
    if (side < LEAST && best) break
    best = { columns, side: Math.max(side, 8), rows }
    if (rows * (side + GAP) - GAP <= height) break
  }
  best ??= { columns: 1, side: MOST, rows: 1 }
  return { ...best, across: best.columns * (best.side + GAP) - GAP, down: best.rows * (best.side + GAP) - GAP }
}

function draw() {
  const canvas = byId("weights-grid")
  canvas.hidden = !painted.length
  if (!painted.length) return outline()
  spot = arrange()
  const ratio = devicePixelRatio || 1
  Object.assign(canvas, { width: Math.round(spot.across * ratio), height: Math.round(spot.down * ratio) })
  Object.assign(canvas.style, { width: `${spot.across}px`, height: `${spot.down}px` })
  const context = canvas.getContext("2d")
  context.setTransform(ratio, 0, 0, ratio, 0, 0)
  context.font = LETTER
  context.imageSmoothingEnabled = shown.view !== "kernels"
  if (shown.pictures) painted.forEach((picture, index) => tile(context, picture, index))
  else table(context)
  outline()
}

function tile(context, picture, index) {
  const [x, y] = corner(index)
  const scale = spot.side / Math.max(picture.width, picture.height)
  context.drawImage(picture, x, y, picture.width * scale, picture.height * scale)
  const text = String(shown.filters[index])
  context.fillStyle = "rgb(0 0 0 / .6)"
  context.fillRect(x, y, context.measureText(text).width + 6, 13)
  context.fillStyle = "#fff"
  context.fillText(text, x + 3, y + 10)
}

const corner = (index) => [(index % spot.columns) * (spot.side + GAP), Math.floor(index / spot.columns) * (spot.side + GAP)]

function table(context) {
  const { zoom, cell } = spot
  context.drawImage(painted[0], EDGE.left, EDGE.top, painted[0].width * zoom, painted[0].height * zoom)
  context.fillStyle = getComputedStyle(byId("weights-grid")).color
  context.textAlign = "right"
  const rows = Math.ceil(12 / cell[1])
  shown.filters.forEach((channel, index) => index % rows || context.fillText(String(channel), EDGE.left - 5, EDGE.top + (index + 0.5) * cell[1] + 3))
  context.textAlign = "center"
  const columns = Math.ceil(30 / cell[0])
  for (let input = 0; input < shown.all.inputs; input += columns) context.fillText(String(shown.skip + input), EDGE.left + (input + 0.5) * cell[0], EDGE.top - 5)
}

function outline() {
  const node = byId("weights-mark")
  const index = shown ? shown.filters.indexOf(marked) : -1
  node.hidden = index < 0 || !painted.length
  if (node.hidden) return
  const [left, top, width, height] = shown.pictures ? [...corner(index), spot.side, spot.side] : [EDGE.left, EDGE.top + index * spot.cell[1], painted[0].width * spot.zoom, shown.all.height * spot.zoom]
  Object.assign(node.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` })
}

/** The filter, input and position under the pointer. */
function find(event) {
  if (!painted.length) return null
  const { all, filters } = shown
  if (shown.pictures) {
    const [column, row] = [event.offsetX, event.offsetY].map((value) => Math.floor(value / (spot.side + GAP)))
    const index = row * spot.columns + column
    const inside = [event.offsetX - column * (spot.side + GAP), event.offsetY - row * (spot.side + GAP)]
    if (column >= spot.columns || index >= filters.length || Math.max(...inside) >= spot.side) return null
    const scale = Math.max(all.width, all.height) / spot.side
    return { index, channel: filters[index], x: Math.min(all.width - 1, Math.floor(inside[0] * scale)), y: Math.min(all.height - 1, Math.floor(inside[1] * scale)) }
  }
  const [left, top] = [event.offsetX - EDGE.left, event.offsetY - EDGE.top]
  const [input, index] = [Math.floor(left / spot.cell[0]), Math.floor(top / spot.cell[1])]
  if (left < 0 || top < 0 || input >= all.inputs || index >= filters.length) return null
  const x = Math.min(all.width - 1, Math.floor((left - input * spot.cell[0]) / spot.zoom))
  const y = Math.min(all.height - 1, Math.floor((top - index * spot.cell[1]) / spot.zoom))
  return { index, channel: filters[index], input, x, y }
}

function hover(found) {
  const tip = byId("weights-tip")
  tip.hidden = !found
  if (!found) return
  callbacks.point(found.channel)
  const { all } = shown
  const value = (input) => number(all.data[((found.index * all.inputs + input) * all.height + found.y) * all.width + found.x])
  const where = all.height * all.width > 1 ? ` at ${found.y}, ${found.x}` : ""
  if (found.input !== undefined) tip.textContent = `filter ${found.channel}, input ${shown.skip + found.input}${where}: ${value(found.input)}`
  else if (all.inputs === 3) tip.textContent = `filter ${found.channel}${where}: red ${value(0)}, green ${value(1)}, blue ${value(2)}`
  else tip.textContent = `filter ${found.channel}${where}: ${value(0)}`
  const [left, top, below] = shown.pictures ? [...corner(found.index), spot.side] : [EDGE.left + found.input * spot.cell[0], EDGE.top + found.index * spot.cell[1], spot.cell[1]]
  const [room, floor] = [Math.max(spot.across, tip.offsetWidth), spot.down]
  tip.style.left = `${Math.max(0, Math.min(left, room - tip.offsetWidth))}px`
  tip.style.top = `${top + below + tip.offsetHeight + 4 > floor && top > tip.offsetHeight ? top - tip.offsetHeight - 2 : top + below + 2}px`
}

function walk(event) {
  if (!shown?.filters.length) return
  if (event.key === "Enter") return callbacks.press(marked)
  const across = shown.pictures ? spot.columns : 1
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across, Home: -1e6, End: 1e6 }[event.key]
  if (!by) return
  event.preventDefault()
  event.stopPropagation()
  const index = Math.max(0, Math.min(shown.filters.length - 1, shown.filters.indexOf(marked) + by))
  callbacks.point(shown.filters[index])
  byId("weights-mark").scrollIntoView({ block: "nearest" })
}

/** Where things are, for tests. */
export const place = () => ({ ...spot, gap: GAP, edge: EDGE })
