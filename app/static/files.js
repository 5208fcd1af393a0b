// Files that come and go: exports are fetched when they are ready, dropped or chosen ones are sent to the server.

import { byId, element, space, write } from "./text.js"
import * as notices from "./notices.js"

const KINDS = ".png,.zip,.vizrun"
let ask = () => {}
let taken = () => false // whether the shown page takes what was dropped itself
let sending = null

/** `takes(file, transfer)`: whether the shown page takes what is dropped; `drops()`: what may be dropped on it. */
export function start(send, takes, drops) {
  ask = send
  taken = takes
  const field = element("input", { type: "file", accept: KINDS, id: "open-file", "data-testid": "open-file", class: "hidden", tabIndex: -1, style: "top: 0; left: 0", "aria-label": "Open a picture or an archive" })
  document.body.append(field)
  byId("open").addEventListener("click", () => field.click())
  field.addEventListener("change", () => {
    if (field.files[0]) bring(field.files[0])
    field.value = ""
  })
  let inside = 0
  const holds = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files")
  addEventListener("dragenter", (event) => {
    if (!holds(event)) return
    inside += 1
    write(byId("drop-text"), drops())
    byId("page").classList.add("dropping")
  })
  addEventListener("dragleave", (event) => holds(event) && (inside -= 1) <= 0 && byId("page").classList.remove("dropping"))
  addEventListener("dragover", (event) => holds(event) && event.preventDefault())
  addEventListener("drop", (event) => {
    inside = 0
    byId("page").classList.remove("dropping")
    if (!holds(event)) return
    event.preventDefault()
    const file = event.dataTransfer.files[0]
    if (file && !taken(file, event.dataTransfer)) bring(file)
  })
}

/** A file that Python has written: the browser saves it. */
export function fetchIt(told) {
  if (!told) return
  const link = element("a", { href: told.url, download: told.name })
  document.body.append(link)
  link.click()
  link.remove()
  notices.show({ id: "export", kind: "info", message: `${told.name} is ready`, hint: `${space(told.bytes)}, saved by the browser.` })
}

const bring = (file) => send(file, file.name, (token) => ask({ do: "opened", token, name: file.name }))

/** Sends a file to the server; `arrived(token)` is called when it is there. */
export function send(file, name, arrived) {
  sending?.abort()
  const request = new XMLHttpRequest()
  sending = request
  const bar = element("progress", { max: 1, value: 0, "aria-label": "Sending" })
  const row = element("div", { class: "job", role: "status", "data-testid": "sending" }, element("span", { class: "cause" }, `Sending ${name}`), bar, element("span", {}), element("button", { type: "button", class: "tool", onclick: () => request.abort() }, "Cancel"))
  const shown = setTimeout(() => byId("jobs").append(row), 400)
  const over = () => {
    clearTimeout(shown)
    row.remove()
    if (sending === request) sending = null
  }
  const failed = (message, hint) => notices.show({ id: "open", kind: "error", message, hint, action: { label: "Try again" } }, () => send(file, name, arrived))
  request.upload.addEventListener("progress", (event) => event.lengthComputable && (bar.value = event.loaded / event.total))
  request.addEventListener("load", () => {
    over()
    if (request.status === 200) return arrived(JSON.parse(request.responseText).token)
    if (request.status === 413) return failed("The file is too large.", request.statusText || "Choose a smaller one.")
    failed("The server did not take the file.", request.statusText || `It said ${request.status}.`)
  })
  request.addEventListener("error", () => (over(), failed("The file did not arrive.", "Check the connection.")))
  request.addEventListener("abort", over)
  request.open("POST", "open")
  request.setRequestHeader("Content-Type", "application/octet-stream")
  request.send(file)
}
