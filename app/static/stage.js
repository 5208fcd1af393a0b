// The stage: the chosen filter large; zoom, drag, single pixels. Picture B is in compare.js.

import { wipe } from "./compare.js"
import { byId, number, write } from "./text.js"
import { cursor, emit, nameOf, neighbour, on, state } from "./state.js"

const MOST = 32
const view = { scale: 1, x: 0, y: 0 }

export function start() {
  const stage = byId("viewport")
  on("paint", paint)
  on("drawn", label)
  on("select", label)
  on("run", () => (reset(), label()))
  byId("filter-previous").addEventListener("click", () => neighbour(-1))
  byId("filter-next").addEventListener("click", () => neighbour(1))
  byId("pixel").addEventListener("click", pixels)
  byId("fit").addEventListener("click", reset)
  stage.addEventListener("wheel", wheel, { passive: false })
  stage.addEventListener("dblclick", reset)
  stage.addEventListener("pointerdown", drag)
  poster()
}

/** The first picture of the shipped poster, until there is a live one. */
function poster() {
  const image = new Image()
  image.onload = () => {
    if (state.stage) return
    const canvas = byId("stage-canvas")
    const side = image.naturalWidth / 4
    canvas.width = canvas.height = side
    canvas.getContext("2d").drawImage(image, 0, 0, side, side, 0, 0, side, side)
  }
  image.src = byId("tiles").querySelector(".picture").style.backgroundImage.slice(5, -2)
}

function paint({ pictures }) {
  const found = pictures.get(state.selected)
  if (found) copy(found.bitmap, byId("stage-canvas"))
}

function copy(source, canvas) {
  if (canvas.width !== source.width) canvas.width = source.width
  if (canvas.height !== source.height) canvas.height = source.height
  canvas.getContext("2d").drawImage(source, 0, 0)
}

function label() {
  if (!state.run) return
  const name = nameOf(state.selected)
  const word = { dead: "dead", "zero gradient": "zero gradient", nan: "NaN", "rolled back": "NaN: went back" }[state.badges.get(state.selected)] ?? ""
  write(byId("stage-name"), name)
  write(byId("stage-score"), number(state.scores.get(state.selected)))
  byId("stage-badge").hidden = word === ""
  byId("stage-badge").classList.add("warn")
  write(byId("stage-badge"), word)
  if (!state.stage) return
  const shown = state.stage
  const behind = shown.channel !== state.selected || shown.step !== cursor()
  write(byId("stamp"), `filter ${nameOf(shown.channel)} · step ${shown.step}`)
  byId("stage-canvas").setAttribute("aria-label", `What filter ${nameOf(shown.channel)} looks for, step ${shown.step}${behind ? ", not up to date" : ""}`)
}

function pixels() {
  state.pixelated = !state.pixelated
  byId("pixel").setAttribute("aria-pressed", String(state.pixelated))
  byId("viewport").classList.toggle("pixelated", state.pixelated)
  emit("pixelated")
}

function apply() {
  byId("picture").style.transform = view.scale === 1 ? "" : `translate(${view.x}px, ${view.y}px) scale(${view.scale})`
  byId("viewport").classList.toggle("zoomed", view.scale !== 1)
  byId("fit").disabled = view.scale === 1
  wipe()
}

export function reset() {
  Object.assign(view, { scale: 1, x: 0, y: 0 })
  apply()
}

function wheel(event) {
  event.preventDefault()
  const scale = Math.min(MOST, Math.max(1, view.scale * Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002))))
  const home = byId("picture")
  const box = byId("viewport").getBoundingClientRect()
  const [x, y] = [event.clientX - box.left - home.offsetLeft, event.clientY - box.top - home.offsetTop]
  view.x = x - ((x - view.x) * scale) / view.scale // what is under the pointer stays there
  view.y = y - ((y - view.y) * scale) / view.scale
  view.scale = scale
  if (scale === 1) reset()
  else apply()
}

function drag(event) {
  if (view.scale === 1 || event.button !== 0 || event.target.closest("input")) return
  const stage = byId("viewport")
  const from = { x: event.clientX - view.x, y: event.clientY - view.y }
  stage.setPointerCapture(event.pointerId)
  stage.classList.add("dragging")
  const follow = (move) => {
    Object.assign(view, { x: move.clientX - from.x, y: move.clientY - from.y })
    apply()
  }
  stage.addEventListener("pointermove", follow)
  stage.addEventListener("lostpointercapture", () => {
    stage.removeEventListener("pointermove", follow)
    stage.classList.remove("dragging")
  }, { once: true })
}
