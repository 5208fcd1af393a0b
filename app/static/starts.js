// What runs start from: the pictures that they were given, and masks.

import { element } from "./text.js"

const NAMES = { source: "the run’s picture", mask: "the run’s mask", picture: "the run’s aim" }
const HALVES = ["top", "left", "middle"]
const halves = new Map() // "top 28" -> blob

/** A picture that a run was given, null if it is not there any more; `kept` learns its name at the server. */
export async function given(run, which, kept) {
  const answer = run.spec[which] ? await fetch(`runs/${run.id}/${which}.png`) : null
  if (answer?.status !== 200) return null
  const file = new File([await answer.blob()], NAMES[which], { type: "image/png" })
  kept.set(file, run.spec[which])
  return file
}

/** A mask of which a half, or all but the middle, is known: white. */
export async function half(which, size) {
  const key = `${which} ${size}`
  if (!halves.has(key)) halves.set(key, await new Promise((done) => halved(which, size).toBlob(done, "image/png")))
  return halves.get(key)
}

function halved(which, size) {
  const canvas = element("canvas", { width: size, height: size })
  const pen = canvas.getContext("2d")
  const middle = Math.round(size / 2)
  pen.fillRect(0, 0, size, size) // black: what is clear would be read as white
  pen.fillStyle = "#fff"
  pen.fillRect(0, 0, which === "left" ? middle : size, which === "top" ? middle : size)
  pen.fillStyle = "#000"
  if (which === "middle") pen.fillRect(Math.round(size / 4), Math.round(size / 4), middle, middle)
  return canvas
}

/** Which of those a mask is; "mask" if it is another one. */
export async function nameOfMask(blob) {
  const bitmap = await createImageBitmap(blob)
  const canvas = element("canvas", { width: bitmap.width, height: bitmap.height })
  canvas.getContext("2d").drawImage(bitmap, 0, 0)
  const text = canvas.toDataURL()
  return HALVES.find((which) => halved(which, bitmap.width).toDataURL() === text) ?? "mask"
}
