// Where the picture comes from: a file, an example, or the camera.

import * as notices from "./notices.js"
import { byId } from "./text.js"

const SIDE = 320 // px of a camera's picture that is sent: networks take 28 to 300
const QUALITY = 0.9

const listeners = []
let now = null // {kind, name, blob}
let good = null // the last one that could be read
let stream = null
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
  byId("image-camera").addEventListener("click", () => (stream ? stop() : void camera()))
  for (const button of document.querySelectorAll("[data-example]")) button.addEventListener("click", () => void example(button.dataset.example))
}

export const live = () => stream !== null
export const current = () => now

/** A file that was chosen, dropped or pasted. */
export function file(given) {
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
  if (source.kind !== "camera") good = source
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
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, height: { ideal: 480 } }, audio: false })
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
  for (const button of document.querySelectorAll("[data-example]")) button.setAttribute("aria-pressed", "false")
  changed()
}

/** The camera goes off; its last picture stays. */
export function stop() {
  if (!stream) return
  for (const track of stream.getTracks()) track.stop()
  stream = null
  byId("image-video").srcObject = null
  mark()
  if (now?.blob) show()
}

function mark() {
  byId("image-video").hidden = !stream
  byId("image-picture").hidden = Boolean(stream)
  byId("image-camera").title = stream ? "Camera off (C)" : "Look through the camera (C)"
  byId("image-camera").setAttribute("aria-pressed", String(Boolean(stream)))
  byId("image-camera").querySelector("span").textContent = stream ? "Stop" : "Camera"
}

/** What is to be looked at now: of a camera, the picture of this moment as a JPEG. */
export async function snapshot() {
  if (!stream) return now
  const video = byId("image-video")
  await new Promise(requestAnimationFrame)
  if (!stream || !video.videoWidth) return null
  const side = Math.min(video.videoWidth, video.videoHeight)
  const canvas = new OffscreenCanvas(SIDE, SIDE)
  canvas.getContext("2d").drawImage(video, (video.videoWidth - side) / 2, (video.videoHeight - side) / 2, side, side, 0, 0, SIDE, SIDE)
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY })
  if (!stream) return null
  now = { kind: "camera", name: "camera", blob }
  return now
}
