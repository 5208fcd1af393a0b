// Sheets that open under their buttons, wherever those are.

/** Lets each sheet open beside the button before it, inside the window. */
export function start() {
  for (const sheet of document.querySelectorAll(".sheet[popover]")) {
    const button = sheet.previousElementSibling
    sheet.addEventListener("toggle", (event) => event.newState === "open" && beside(sheet, button))
    addEventListener("resize", () => sheet.matches(":popover-open") && sheet.hidePopover())
  }
}

function beside(sheet, button) {
  const at = button.getBoundingClientRect()
  const { width, height } = sheet.getBoundingClientRect()
  const left = Math.max(8, Math.min(at.left, innerWidth - width - 8))
  const below = at.bottom + 4
  const top = below + height > innerHeight - 8 && at.top - height - 4 > 8 ? at.top - height - 4 : below
  Object.assign(sheet.style, { inset: "auto", left: `${left}px`, top: `${top}px` })
}
