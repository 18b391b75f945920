// Runs the published Raft scripts against the core: npm run raft:scripts -- DIR, where DIR has sub-folders
// interaction, confchange, quorum of data-driven files. Prints a line per file and last `N passed, M
// failed`; exits with 0 only when there were files and all passed.

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { isHelpGiven } from './usage.ts'
import { confChangeSubject } from './raft-scripts/confchange.ts'
import type { ScriptCase } from './raft-scripts/datadriven.ts'
import { interactionSubject } from './raft-scripts/interaction.ts'
import { quorumSubject } from './raft-scripts/quorum.ts'
import { runFile } from './raft-scripts/run-file.ts'

const subjects: Readonly<Record<string, () => (script: ScriptCase) => string>> = {
  interaction: interactionSubject,
  confchange: confChangeSubject,
  quorum: quorumSubject,
}

function main(directory: string | undefined): number {
  if (isHelpGiven(import.meta.filename)) return 0
  if (directory === undefined) {
    console.log('usage: npm run raft:scripts -- DIR (folders interaction, confchange, quorum)')
    return 2
  }
  let passed = 0
  let failed = 0
  for (const [folder, subject] of Object.entries(subjects)) {
    for (const path of filesUnder(join(directory, folder))) {
      if (runOne(relative(directory, path), path, subject())) passed++
      else failed++
    }
  }
  if (passed + failed === 0) console.log(`no script found under ${directory}`)
  console.log(`${passed} passed, ${failed} failed`)
  return failed === 0 && passed > 0 ? 0 : 1
}

function runOne(name: string, path: string, subject: (script: ScriptCase) => string): boolean {
  const result = runFile(readFileSync(path, 'utf8'), subject)
  if (result.kind === 'failed') {
    console.log(`FAIL ${name}:${result.line} ${result.explanation}`)
    return false
  }
  const note = result.withoutLogging === 0 ? '' : `, ${result.withoutLogging} but for free logging`
  console.log(`ok   ${name} (${result.cases} commands${note})`)
  return true
}

/** Sorted; without hidden files. None when the folder is absent. */
function filesUnder(folder: string): readonly string[] {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.') && !entry.name.endsWith('~'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
}

process.exitCode = main(process.argv[2])
