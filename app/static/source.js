// Where the picture comes from: a file, an example, a video, or the camera.

import * as notices from "./notices.js"
import { byId, setIcon, write } from "./text.js"

const SIDE = 320 // px of a camera's picture that is sent: networks take 28 to 300
const QUALITY = 0.9
const HAVE = 2 // HTMLMediaElement.HAVE_CURRENT_DATA

const listeners = []
let now = null // {kind, name, blob, at}
let good = null // the last one that could be read
let stream = null // of the camera
let film = null // {name, at}: the video that is open, and where its last picture was taken
let dragging = false
let wanted = 0 // number of the picture that was asked for last

/** Calls `listener` when there is another picture: every page looks at the same one. */
export const listen = (listener) => listeners.push(listener)

const changed = () => listeners.forEach((listener) => listener())

export function start() {
  const field = byId("image-file")
  byId("image-open").addEventListener("click", () => field.click())
  field.addEventListener("change", () => {
    if (field.files[0]) file(field.files[0])
    field.value = ""
  })
  byId("image-camera").addEventListener("click", () => {
    if (!stream) return void camera()
    stop()
    changed() // its last picture is looked at once more, by all
  })
  startFilm()
  for (const button of document.querySelectorAll("[data-example]")) button.addEventListener("click", () => void example(button.dataset.example))
}

/** Pictures come by themselves. */
export const live = () => stream !== null || (film !== null && !byId("image-video").paused)
/** A picture that others follow: not one that a page could come back to. */
export const moving = (source) => source.kind === "camera" || source.kind === "video"
export const current = () => now

/** A file that was chosen, dropped or pasted. */
export function file(given) {
  notices.remove("video")
  if (given.type.startsWith("video/") || FILMS.test(given.name)) return void openFilm(given)
  wanted += 1
  stop()
  take({ kind: "file", name: given.name, blob: given })
}

/** One of the pictures that come along. */
export async function example(name) {
  const button = document.querySelector(`[data-example="${CSS.escape(name)}"]`)
  if (!button) return
  const mine = ++wanted
  try {
    const answer = await fetch(button.dataset.url)
    if (!answer.ok) throw new Error(answer.statusText)
    const blob = await answer.blob()
    if (mine !== wanted) return
    stop()
    take({ kind: "example", name, blob })
  } catch {
    notices.show({ id: "image", kind: "error", message: "The example did not arrive.", hint: "Check the connection." })
  }
}

/** A picture of a folder that was looked through: {data, only, picture}. */
export async function real(from) {
  const mine = ++wanted
  try {
    const answer = await fetch(`patches/original?${new URLSearchParams({ data: from.data, only: from.only, name: from.picture })}`)
    if (!answer.ok) throw new Error(answer.statusText)
    if (answer.headers.get("Content-Type") === "application/json") throw Object.assign(new Error(), await answer.json())
    const blob = await answer.blob()
    if (mine !== wanted) return
    stop()
    take({ kind: "real", name: from.picture, from, blob })
  } catch (error) {
    notices.show({ id: "image", kind: "error", message: error.message || "The picture did not arrive.", hint: error.hint ?? "Check the connection." })
    if (!now) void example(document.querySelector("[data-example]").dataset.example)
  }
}

function take(next) {
  now = next
  show()
  changed()
}

function show() {
  const picture = byId("image-picture")
  URL.revokeObjectURL(picture.src)
  picture.src = URL.createObjectURL(now.blob)
  picture.alt = now.kind === "example" ? `Example: ${now.name}` : now.name
  for (const button of document.querySelectorAll("[data-example]")) button.setAttribute("aria-pressed", String(now.kind === "example" && now.name === button.dataset.example))
}

/** The engine could read it. */
export function accepted(source) {
  if (!moving(source)) good = source
}

/** The engine could not: the last good one comes back. */
export function refused(source) {
  if (source !== now || !good || good === source) return false
  now = good
  show()
  return true
}

const WHY = {
  NotAllowedError: ["The camera was not allowed.", "Allow it beside the address of this page, then try again; a file will do, too."],
  NotFoundError: ["There is no camera.", "Plug one in, or open a picture."],
  NotReadableError: ["The camera is in use elsewhere.", "Close the other program, then try again."],
}

async function camera() {
  notices.remove("camera")
  if (!navigator.mediaDevices?.getUserMedia) return notices.show({ id: "camera", kind: "error", message: "The browser gives this page no camera.", hint: "It does so over https and on this machine only (http://localhost)." })
  byId("image-camera").disabled = true
  try {
    const given = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, height: { ideal: 480 } }, audio: false })
    wanted += 1
    stop() // a video
    stream = given
  } catch (error) {
    const [message, hint] = WHY[error.name] ?? ["The camera does not start.", String(error.message || error.name)]
    return notices.show({ id: "camera", kind: "error", message, hint, action: { label: "Try again" } }, () => void camera())
  } finally {
    byId("image-camera").disabled = false
  }
  const video = byId("image-video")
  video.srcObject = stream
  for (const track of stream.getTracks()) track.addEventListener("ended", stop)
  await video.play().catch(() => {})
  mark()
  now = { kind: "camera", name: "camera", blob: null }
  changed()
}

/** The camera goes off, a video is closed; the last picture stays. */
export function stop() {
  if (!stream && !film) return
  for (const track of stream?.getTracks() ?? []) track.stop()
  const video = byId("image-video")
  video.srcObject = null
  if (film) URL.revokeObjectURL(video.src)
  video.removeAttribute("src")
  video.load() // lets go of the file
  stream = film = null
  mark()
  if (!now?.blob) now = good // nothing was seen of it
  if (now) show()
}

/** The page is left: nobody is watched behind another one, and a video waits. */
export function rest() {
  if (stream) stop()
  byId("image-video").pause()
}

function mark() {
  byId("image-video").hidden = !stream && !film
  byId("image-picture").hidden = Boolean(stream || film)
  byId("image-film").hidden = !film
  byId("image-camera").title = stream ? "Camera off (C)" : "Look through the camera (C)"
  byId("image-camera").setAttribute("aria-pressed", String(Boolean(stream)))
  byId("image-camera").querySelector("span").textContent = stream ? "Stop" : "Camera"
  if (stream || film) for (const button of document.querySelectorAll("[data-example]")) button.setAttribute("aria-pressed", "false")
}

// -- videos: the browser decodes them, and their pictures go the way of the camera's

const FILMS = /\.(mp4|m4v|mov|webm|mkv|avi|ogv)$/i
const PATIENCE = 20_000 // ms for the first picture of a large file

function startFilm() {
  const video = byId("image-video")
  const seek = byId("image-seek")
  byId("image-play").addEventListener("click", () => (video.paused ? void video.play().catch(() => {}) : video.pause()))
  seek.addEventListener("input", () => {
    dragging = true
    if (Number.isFinite(video.duration)) video.currentTime = (Number(seek.value) / 1000) * video.duration
  })
  seek.addEventListener("change", () => (dragging = false))
  for (const name of ["play", "pause", "seeked"]) {
    video.addEventListener(name, () => {
      if (!film) return
      tellFilm()
      changed()
    })
  }
  video.addEventListener("timeupdate", tellFilm)
}

function tellFilm() {
  if (!film) return
  const video = byId("image-video")
  const name = video.paused ? "Play" : "Pause"
  setIcon(byId("image-play"), video.paused ? "play" : "pause")
  byId("image-play").title = name
  byId("image-play").setAttribute("aria-label", name)
  if (!dragging && Number.isFinite(video.duration)) byId("image-seek").value = String((1000 * video.currentTime) / video.duration)
  write(byId("image-at"), `${clock(video.currentTime)} / ${Number.isFinite(video.duration) ? clock(video.duration) : "…"}`)
}

const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`

async function openFilm(given) {
  const mine = ++wanted
  const url = URL.createObjectURL(given)
  const trial = document.createElement("video") // what is shown stays until there is a picture
  Object.assign(trial, { muted: true, preload: "auto", src: url })
  const found = await new Promise((done) => {
    trial.addEventListener("loadeddata", () => done(trial.videoWidth > 0))
    trial.addEventListener("error", () => done(false))
    setTimeout(() => done(false), PATIENCE)
  })
  trial.removeAttribute("src")
  if (mine !== wanted) return URL.revokeObjectURL(url) // another file was chosen meanwhile
  if (!found) {
    URL.revokeObjectURL(url)
    return notices.show({ id: "video", kind: "error", message: `There are no frames in ${given.name.slice(0, 60)} that the browser can show.`, hint: "Choose an MP4 or WebM video; the last picture stays." })
  }
  stop()
  const video = byId("image-video")
  Object.assign(video, { loop: true, src: url })
  film = { name: given.name, at: null }
  now = { kind: "video", name: given.name, blob: null }
  mark()
  await video.play().catch(() => changed()) // where playing needs a gesture, its first picture is shown
}

/** What is to be looked at now: of what moves, the picture of this moment as a JPEG. */
export async function snapshot() {
  if (!stream && !film) return now
  const video = byId("image-video")
  if (live()) await new Promise(requestAnimationFrame)
  else if (now.blob && film?.at === video.currentTime) return now
  const mine = film
  if ((!stream && !film) || !video.videoWidth || video.readyState < HAVE) return null
  const side = Math.min(video.videoWidth, video.videoHeight)
  const canvas = new OffscreenCanvas(SIDE, SIDE)
  const at = performance.now()
  if (film) film.at = video.currentTime
  canvas.getContext("2d").drawImage(video, (video.videoWidth - side) / 2, (video.videoHeight - side) / 2, side, side, 0, 0, SIDE, SIDE)
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY })
  if ((!stream && !film) || film !== mine) return null
  now = { kind: film ? "video" : "camera", name: film?.name ?? "camera", blob, at }
  return now
}
