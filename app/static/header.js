// What the header of every page does, and what happens when the server is away.

import { write } from "./frame.js"
import { keep } from "./keys.js"
import * as notices from "./notices.js"
import { connection } from "./status.js"
import { emit } from "./state.js"

let gone = false

export async function share() {
  write()
  const text = location.href
  try {
    await navigator.clipboard.writeText(text)
    notices.show({ id: "link", kind: "info", message: "Link copied", hint: "It opens what you see now." })
  } catch {
    notices.show({ id: "link", kind: "hint", message: "Copy this link", hint: text }) // pages without https may not write
  }
}

export function toggleTheme(ask) {
  const theme = document.documentElement.dataset.theme === "light" ? "dark" : "light"
  document.documentElement.dataset.theme = theme
  keep("vizcore.theme", theme)
  emit("theme")
  ask({ do: "theme", name: theme })
}

/** The server is away: say so, ask until it is back, then begin anew from the address. */
export function lost() {
  if (gone) return
  gone = true
  connection("lost")
  notices.show({ id: "lost", kind: "error", message: "The connection to the server is lost", hint: "What you see stays. The page comes back by itself when the server does.", action: { label: "Try now" } }, () => location.reload())
  let wait = 500
  const poll = async () => {
    const back = await fetch("healthz", { cache: "no-store" }).then((answer) => answer.ok, () => false)
    if (back) return location.reload()
    wait = Math.min(5000, wait * 1.5)
    setTimeout(poll, wait)
  }
  setTimeout(poll, wait)
}
