// `atoll admin client-certificate create`: the key is made on this machine and stays here; a node signs its request, or
// takes down a certificate that somebody else signed.

import { existsSync, rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { Fault } from '../base/index.ts'
import { realPki } from '../host/real/index.ts'
import { type AccessCommandOptions, type Answer, askAccess } from './access-command.ts'
import { requireText, writeText } from './files.ts'
import { answer } from './terminal.ts'

export type NewCertificate = Omit<AccessCommandOptions, 'show'> & {
  /** 'tenants/000000000001'. */
  readonly tenant: string
  readonly name: string
  readonly user: string | undefined
  readonly scopes: readonly string[]
  readonly lifeSeconds: number
  /** The files are OUT.key and OUT.pem. */
  readonly out: string
  /** Of a certificate that exists already: its file; nothing is made then. */
  readonly certificate: string | undefined
}

/** Settles with the exit status. */
export async function createClientCertificate(options: NewCertificate): Promise<number> {
  const { name, user, scopes, certificate, isJson } = options
  const given = { name, scopes, ...(user === undefined ? {} : { user }) }
  if (certificate !== undefined) {
    const body = { ...given, certificate: requireText(resolve(certificate)) }
    const made = await ask(options, body)
    answer(isJson ? JSON.stringify(made) : `certificate ${made.id} opens ${scopes.join(', ')}`)
    return 0
  }
  const files = { key: resolve(`${options.out}.key`), certificate: resolve(`${options.out}.pem`) }
  for (const path of Object.values(files)) {
    if (!existsSync(path)) continue
    throw new Fault('exists', `${path} is there already`, { next: 'choose other files with --out' })
  }
  const { requestPem, privateKeyPem } = await realPki.makeRequest('client')
  // Before it is asked for: a certificate whose key was lost would open the cluster to nobody, and be honoured for its whole life.
  writeText(files.key, privateKeyPem, { isSecret: true })
  const body = { ...given, request: requestPem, lifeSeconds: options.lifeSeconds }
  const made = await ask(options, body).catch((error: unknown) => {
    rmSync(files.key, { force: true })
    throw error
  })
  writeText(files.certificate, String(made.certificatePem))
  answer(isJson ? JSON.stringify({ ...made, files }) : describe(made, files))
  return 0
}

async function ask(options: NewCertificate, body: unknown): Promise<Answer> {
  const path = `${options.tenant}/certificates`
  return await askAccess({ method: 'POST', path, body }, options)
}

function describe(made: Answer, files: { readonly key: string; readonly certificate: string }) {
  return [
    `certificate ${made.id}: ${files.certificate}, with its key in ${files.key}`,
    `  curl --cert ${files.certificate} --key ${files.key} --cacert AUTHORITY https://NODE:7777/v1/status`,
  ].join('\n')
}
