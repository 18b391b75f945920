// Puts a plant in place: a hook of the module loader changes the named sources on their way into this process.
// What was loaded before is not changed, so a plant is put in place before its workload is loaded, and
// mustBePlanted() tells whether every edit has met its file.

import { registerHooks } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { WorldFailure } from '../failures.ts'
import type { Edit, Plant } from './plant.ts'

export const root = join(import.meta.dirname, '..', '..')

export function putInPlace(plant: Plant): { readonly mustBePlanted: () => void } {
  const open = new Set(plant.edits)
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context)
      const edits = plant.edits.filter(({ file }) => pathToFileURL(join(root, file)).href === url)
      if (edits.length === 0) return loaded
      const { source } = loaded
      if (source === undefined || source === null) throw new WorldFailure(`${url} has no source`)
      let text = typeof source === 'string' ? source : Buffer.from(source as Uint8Array).toString()
      for (const edit of edits) {
        text = editText(text, edit)
        open.delete(edit)
      }
      return { ...loaded, source: text }
    },
  })
  return {
    mustBePlanted() {
      for (const { file } of open) throw new WorldFailure(`${plant.name}: ${file} is not loaded`)
    },
  }
}

/** WorldFailure unless the text to be replaced is there exactly once. */
export function editText(text: string, { file, find, replace }: Edit): string {
  const at = text.indexOf(find)
  if (at < 0) throw new WorldFailure(`a plant does not find its place in ${file}: ${find}`)
  if (text.includes(find, at + 1)) {
    throw new WorldFailure(`a plant finds more than one place in ${file}: ${find}`)
  }
  return text.slice(0, at) + replace + text.slice(at + find.length)
}
