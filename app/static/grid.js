// All maps of a layer on one canvas: hover tells, a click holds, arrow keys walk.

import { byId, number } from "./text.js"
import { paint, sheet } from "./colours.js"

const GAP = 4
const MOST = 132 // px of a map on the page
const LEAST = 36

let all = null
let order = []
let held = null
let hovered = null
let place = { columns: 1, side: 1, rows: 1 }
let look = { mode: "gray", shared: true }
let hold = () => {}
let painted = null

export function start(choose) {
  hold = choose
  const canvas = byId("image-grid")
  canvas.addEventListener("pointermove", (event) => hover(at(event)))
  canvas.addEventListener("pointerleave", () => hover(null))
  canvas.addEventListener("click", (event) => {
    const spot = at(event)
    if (spot) hold(spot.channel)
  })
  canvas.addEventListener("keydown", walk)
  new ResizeObserver(() => all && draw()).observe(byId("image-scroll"))
}

/** Shows maps in an order of channels. */
export function show(maps, channels, how) {
  all = maps
  order = channels
  look = how
  painted = sheet(paint(all, look.mode, look.shared))
  draw()
}

export function mark(channel) {
  held = channel
  outline(byId("image-held"), order.indexOf(channel))
}

export const picture = () => painted

/** As large as fits without scrolling, within bounds. */
function arrange() {
  const box = byId("image-scroll")
  const width = box.clientWidth - 6 // its padding
  const height = box.clientHeight - 6
  let best = null
  for (let columns = 1; columns <= order.length; columns++) {
    const side = Math.floor(Math.min(MOST, (width + GAP) / columns - GAP))
    const rows = Math.ceil(order.length / columns)
    if (side < LEAST && best) break
    best = { columns, side: Math.max(side, 8), rows }
    if (rows * (side + GAP) - GAP <= height) break
  }
  return best ?? { columns: 1, side: MOST, rows: 1 }
}

function draw() {
  if (!order.length) return
  place = arrange()
  const { columns, side, rows } = place
  const canvas = byId("image-grid")
  const ratio = devicePixelRatio || 1
  const across = columns * (side + GAP) - GAP
  const down = rows * (side + GAP) - GAP
  if (canvas.width !== Math.round(across * ratio) || canvas.height !== Math.round(down * ratio)) {
    Object.assign(canvas, { width: Math.round(across * ratio), height: Math.round(down * ratio) })
    Object.assign(canvas.style, { width: `${across}px`, height: `${down}px` })
  }
  const context = canvas.getContext("2d")
  context.setTransform(ratio, 0, 0, ratio, 0, 0)
  context.clearRect(0, 0, across, down)
  context.imageSmoothingEnabled = false
  context.font = "600 10px system-ui, sans-serif"
  order.forEach((channel, index) => {
    const [x, y] = corner(index)
    context.drawImage(painted, 0, channel * all.height, all.width, all.height, x, y, side, side)
    if (side < LEAST) return
    const text = String(channel)
    context.fillStyle = "rgb(0 0 0 / .6)"
    context.fillRect(x, y, context.measureText(text).width + 6, 13)
    context.fillStyle = "#fff"
    context.fillText(text, x + 3, y + 10)
  })
  outline(byId("image-held"), order.indexOf(held))
  if (hovered) hover(hovered)
}

const corner = (index) => [(index % place.columns) * (place.side + GAP), Math.floor(index / place.columns) * (place.side + GAP)]

function outline(node, index) {
  node.hidden = index < 0 || !all
  if (node.hidden) return
  const [x, y] = corner(index)
  Object.assign(node.style, { left: `${x}px`, top: `${y}px`, width: `${place.side}px`, height: `${place.side}px` })
}

/** Which map is under the pointer, and which of its positions. */
function at(event) {
  if (!all) return null
  const column = Math.floor(event.offsetX / (place.side + GAP))
  const row = Math.floor(event.offsetY / (place.side + GAP))
  const inside = [event.offsetX - column * (place.side + GAP), event.offsetY - row * (place.side + GAP)]
  const channel = order[row * place.columns + column]
  if (channel === undefined || column >= place.columns || Math.max(...inside) >= place.side) return null
  const x = Math.min(all.width - 1, Math.floor((inside[0] / place.side) * all.width))
  const y = Math.min(all.height - 1, Math.floor((inside[1] / place.side) * all.height))
  return { channel, x, y }
}

/** The value of a map at a position of the picture on the page. */
export const value = ({ channel, x, y }) => all.data[(channel * all.height + y) * all.width + x]

function hover(spot) {
  hovered = spot
  const tip = byId("image-tip")
  const index = spot ? order.indexOf(spot.channel) : -1
  outline(byId("image-hover"), index)
  tip.hidden = index < 0
  if (tip.hidden) return
  const [row, column] = [spot.y * all.pool, spot.x * all.pool]
  tip.textContent = `${spot.channel}: ${number(value(spot))} at ${row}, ${column} · peak ${number(all.high[spot.channel])}`
  const [x, y] = corner(index)
  const room = byId("image-grid").clientWidth
  tip.style.left = `${Math.max(0, Math.min(x, room - tip.offsetWidth))}px`
  tip.style.top = y + place.side + tip.offsetHeight + 4 > byId("image-grid").clientHeight && y > tip.offsetHeight ? `${y - tip.offsetHeight - 2}px` : `${y + place.side + 2}px`
}

function walk(event) {
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -place.columns, ArrowDown: place.columns, Home: -order.length, End: order.length }[event.key]
  if (!by || !order.length) return
  event.preventDefault()
  event.stopPropagation()
  const index = Math.max(0, Math.min(order.length - 1, order.indexOf(held) + by))
  hold(order[index])
  byId("image-held").scrollIntoView({ block: "nearest" })
}
