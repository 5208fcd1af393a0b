// The transport: the one primary button (the run), the replay (the history), the large slider, LIVE.

import { byId, setIcon, throttle, write } from "./text.js"
import { bindTimeline, drawTicks, drawTimeline } from "./timeline.js"
import { cursor, horizon, isLive, latest, live, move, on, position, seek, state } from "./state.js"
import { prefetch } from "./painter.js"

const FACES = {
  running: ["pause", "Pause", { do: "pause" }],
  paused: ["play", "Run", { do: "resume" }],
  resting: ["play", "Run", { do: "resume" }],
  interrupted: ["play", "Run", { do: "resume" }],
  done: ["further", "Go further", { do: "further", by: 256 }],
  failed: ["restart", "Restart", { do: "restart" }],
  none: ["play", "Run", { do: "start" }],
}
const LOOPS = ["once", "loop", "fro"] // icons
const LOOP_LABELS = ["Replay: once", "Replay: again and again", "Replay: back and forth"]
const replay = { on: false, loop: 0, direction: 1, next: 0, timer: null }
const REST = 150 // ms: who jumps about does not want the neighbours of each place
let ask = () => {}
let before = -1 // position of the last drawing off the live end
let resting = null
let hurry = null // the state that a press has asked for, until Python confirms it

export function start(send) {
  ask = send
  byId("primary").addEventListener("click", primary)
  for (const name of ["step", "restart", "newseed"]) byId(name).addEventListener("click", () => ask({ do: name }))
  byId("further").addEventListener("click", () => ask({ do: "further", by: 256 }))
  byId("first").addEventListener("click", first)
  byId("back").addEventListener("click", () => step(-1))
  byId("forward").addEventListener("click", () => step(1))
  byId("live").addEventListener("click", goLive)
  byId("play").addEventListener("click", togglePlay)
  byId("loop").addEventListener("click", turnLoop)
  bindTimeline(byId("history"), (step) => seek(step)) // a replay goes on from there
  const ticks = throttle(150, () => drawTicks(byId("ticks")))
  new ResizeObserver(ticks).observe(byId("ticks"))
  on("status", () => (face(), show(), ticks()))
  on("kept", () => (show(), ticks()))
  on("theme", ticks)
  for (const name of ["drawn", "cursor", "select", "run", "pins"]) on(name, show)
  on("drawn", around)
  face()
  show()
}

/** The primary button does what it says; Space presses it. */
export function primary() {
  const [, , intent] = FACES[hurry ?? state.status?.state] ?? []
  if (!intent || byId("primary").disabled) return
  hurry = { pause: "paused", resume: "running" }[intent.do] ?? null
  if (hurry) setTimeout(() => ((hurry = null), face()), 1500) // Python's word counts
  ask(intent)
  face()
}

function face() {
  const told = state.status?.state
  if (hurry === told) hurry = null
  const [icon, text] = FACES[hurry ?? told] ?? ["play", "Starting"]
  byId("primary").disabled = !(told in FACES)
  setIcon(byId("primary"), icon)
  write(byId("primary-text"), text)
  byId("step").disabled = !["paused", "resting", "interrupted"].includes(hurry ?? told)
  for (const name of ["restart", "newseed", "further"]) byId(name).disabled = !state.run
}

function show() {
  const drawn = state.stage?.channel === state.selected ? state.stage.step : null
  drawTimeline(byId("history"), drawn, latest(), state.selected)
  write(byId("step-number"), drawn === null ? "–" : `${drawn}/${horizon()}`)
  byId("step-number").classList.toggle("waiting", drawn !== cursor())
  byId("live").setAttribute("aria-pressed", String(state.run !== null && isLive()))
  for (const name of ["first", "back", "play", "forward"]) byId(name).disabled = state.kept.length < 2
  byId("forward").disabled ||= isLive()
}

/** After a drawing off the live end: the neighbours are what is asked for next, those ahead first. */
function around() {
  if (isLive() || replay.on || state.stage?.step !== cursor()) return
  const here = position(cursor())
  const by = here - before
  if (by === 0) return
  before = here
  clearTimeout(resting)
  const way = Math.sign(by)
  const near = [way, 2 * way, -way, -2 * way].map((away) => state.kept[here + away]).filter((step) => step !== undefined)
  resting = setTimeout(() => prefetch(near), Math.abs(by) > 2 ? REST : 0)
}

export function first() {
  halt()
  if (state.kept.length) seek(state.kept[0])
}

/** Moves by kept steps. */
export function step(by) {
  halt()
  move(by)
}

export function goLive() {
  halt()
  live()
}

export function halt() {
  clearTimeout(resting)
  if (!replay.on) return
  replay.on = false
  cancelAnimationFrame(replay.timer)
  playFace()
}

function playFace() {
  setIcon(byId("play"), replay.on ? "pause" : "play")
  byId("play").ariaLabel = byId("play").title = replay.on ? "Stop the replay" : "Replay the history"
  byId("play").setAttribute("aria-pressed", String(replay.on))
}

function turnLoop() {
  replay.loop = (replay.loop + 1) % LOOPS.length
  replay.direction = 1
  setIcon(byId("loop"), LOOPS[replay.loop])
  byId("loop").ariaLabel = byId("loop").title = LOOP_LABELS[replay.loop]
  byId("loop").setAttribute("aria-pressed", String(replay.loop > 0))
}

export function togglePlay() {
  if (replay.on) return halt()
  if (state.kept.length < 2) return
  replay.on = true
  replay.direction = 1
  if (isLive() || cursor() === latest()) seek(state.kept[0])
  replay.next = performance.now() + gap()
  playFace()
  replay.timer = requestAnimationFrame(tick)
}

const gap = () => 1000 / Math.min(30, Math.max(1, Number(byId("fps").value) || 10))

function tick(now) {
  if (!replay.on) return
  replay.timer = requestAnimationFrame(tick)
  const ready = state.stage?.step === cursor() // no step is left out: a slow network makes a slow replay
  if (now < replay.next || !ready) return
  replay.next = Math.max(replay.next + gap(), now)
  const here = position(cursor())
  let next = here + replay.direction
  if (next >= state.kept.length || next < 0) {
    if (replay.loop === 0) return halt()
    if (replay.loop === 1) next = 0
    else {
      replay.direction *= -1
      next = Math.min(state.kept.length - 1, Math.max(0, here + replay.direction))
    }
  }
  seek(state.kept[next])
  prefetch([1, 2, 3].map((by) => state.kept[next + by * replay.direction]).filter((step) => step !== undefined))
}
