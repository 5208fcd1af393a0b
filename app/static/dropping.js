// Folders of pictures that are dropped: what is in them, as one file to be sent.

import * as notices from "./notices.js"
import { zip } from "./zip.js"

const PICTURE = /\.(png|jpe?g|webp)$/i
const MOST = 20_000 // files
const BYTES = 2 ** 31 - 2 ** 24 // what the server takes, with room for the names

/** What was dropped, as long as the event lasts: folders, a zip, or more than one picture; null for anything else. */
export function pictures(transfer) {
  const folders = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry?.isDirectory)
  const names = new Set(folders.map((folder) => folder.name))
  const files = [...transfer.files].filter((file) => !names.has(file.name)) // a folder is a file without content, too
  if (folders.length) return { folders, files, name: folders[0].name }
  if (files.length === 1 && /\.zip$/i.test(files[0].name)) return { whole: files[0], name: files[0].name }
  if (files.length > 1 && files.every((file) => PICTURE.test(file.name))) return { folders, files, name: `${files.length} pictures` }
  return null
}

/** One file of all pictures in what was dropped, null (and a notice) if that cannot be. */
export async function gather({ folders, files, whole, name }) {
  if (whole) return whole
  const found = files.filter((file) => PICTURE.test(file.name)).map((file) => ({ path: file.name, file }))
  const refuse = (message, hint) => (notices.show({ id: "patches", kind: "error", message, hint }), null)
  const alone = folders.length === 1 && !found.length // its subfolders are the classes, as if it were named
  try {
    for (const folder of folders) await walk(folder, alone ? "" : `${folder.name}/`, found)
    if (!found.length) return refuse(`There are no pictures in ${name}.`, "Drop a folder with PNG, JPEG or WebP files in it.")
    const size = found.reduce((sum, one) => sum + one.file.size, 0)
    if (found.length > MOST || size > BYTES) return refuse(`${name} is too large to be sent.`, "Write its path into the field, if it lies on the server's machine.")
    return await zip(found)
  } catch {
    return refuse(`${name} could not be read.`, "Check that you may read all of it.")
  }
}

/** All pictures of a folder; `path` is what it is called in front of their names. */
async function walk(folder, path, found) {
  const reader = folder.createReader()
  for (;;) {
    const some = await new Promise((done, fail) => reader.readEntries(done, fail)) // a hundred at a time
    if (!some.length || found.length > MOST) return
    for (const one of some) {
      if (one.name.startsWith(".")) continue
      if (one.isDirectory) await walk(one, `${path}${one.name}/`, found)
      else if (PICTURE.test(one.name)) found.push({ path: path + one.name, file: await new Promise((done, fail) => one.file(done, fail)) })
    }
  }
}
