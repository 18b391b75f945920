// What a data directory keeps secret, found out from the directory itself, and the removal of it from a text.

import { globSync } from 'node:fs'
import { join } from 'node:path'
import { readText } from './files.ts'

/** Anything shorter would take away words that merely look alike. */
const lettersMin = 8
const hidden = '[removed]'

/** Files that hold nothing but a secret, or a key in PEM. */
const secretFiles = [
  'ca/*-key.pem',
  'ca/admin-token',
  'ca/*-password',
  'identity/*-key.pem',
  'identity/*-key',
  'identity/*-token',
  'identity/*-password',
  'bootstrap.json',
]
const settingsFiles = ['cluster.toml', 'predastore.toml']
/** Keys of settings whose values are secret. */
const secretSetting =
  /\b(?:secret_access_key|access_key_id|[a-z_]{0,40}(?:password|secret|token))"?\s{0,9}[=:]\s{0,9}"((?:[^"\\]|\\.)*)"/g

/** Longest first, so that none is left over of another that it is a part of. */
export function secretsIn(dataDir: string): readonly string[] {
  const found = new Set<string>()
  const add = (value: string): void => {
    if (value.length >= lettersMin) found.add(value)
  }
  const addSettings = (text: string): void => {
    for (const [, value = ''] of text.matchAll(secretSetting)) {
      add(value)
      add(unescaped(value))
    }
  }
  for (const dir of ['.', ...globSync('node-*', { cwd: dataDir })]) {
    for (const path of globSync(secretFiles, { cwd: join(dataDir, dir) })) {
      const text = readText(join(dataDir, dir, path)) ?? ''
      for (const line of text.split('\n')) if (!line.startsWith('-----')) add(line.trim())
      addSettings(text)
    }
    for (const name of settingsFiles) addSettings(readText(join(dataDir, dir, name)) ?? '')
  }
  return [...found].sort((a, b) => b.length - a.length || (a < b ? -1 : 1))
}

export function hideSecrets(text: string, secrets: readonly string[]): string {
  return secrets.reduce((rest, secret) => rest.replaceAll(secret, hidden), text)
}

/** TOML's escapes and JSON's are the same here. */
function unescaped(value: string): string {
  try {
    return String(JSON.parse(`"${value}"`))
  } catch {
    return value
  }
}
