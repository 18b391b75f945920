// Routes of settings, authority and certificates:
//
//   GET  /v1/config               {"version", "changedMs", "changedBy", "config"}
//   PUT  /v1/config               {"name": "target_size" | "s3.replicas" | ..., "value"?} -> the same; without a value
//                                 the setting goes back to its default
//   GET  /v1/config/history       {"versions": [...]}, newest first
//   POST /v1/config/rollback      {"version"} -> the new version
//   GET  /v1/settings             {"epoch", "text", "held": {member: epoch}}: cluster.json, and who has it
//   GET  /v1/authorities          {"authorities": [{"pin", "state", "notAfterMs"}]}
//   POST /v1/authorities/{step}   add, issue, drop
//   GET  /v1/certificates         {"certificates": [{"member", "serial", "issuedMs", "notAfterMs"}]}

import { Fault } from '../../base/index.ts'
import {
  type AuthorityStep,
  type AuthorityView,
  changeSetting,
  type EnrolmentDesk,
  type JsonValue,
} from '../../cluster/index.ts'
import { type AdminCall, type AdminRoute, answerJson } from './routes.ts'

/** What a setting needs before it is changed. Faults refuse the change. */
export type PrepareSetting = (name: string, value: unknown) => Promise<void>

export function trustRoutes(
  desk: EnrolmentDesk,
  prepare: PrepareSetting = async () => undefined,
): readonly AdminRoute[] {
  return [...configRoutes(desk, prepare), ...authorityRoutes(desk)]
}

function configRoutes(desk: EnrolmentDesk, prepare: PrepareSetting): readonly AdminRoute[] {
  return [
    {
      method: 'GET',
      path: '/v1/config',
      needs: 'admin:ReadConfig',
      answer: async () => answerJson(200, await desk.config()),
    },
    {
      method: 'PUT',
      path: '/v1/config',
      needs: 'admin:ChangeConfig',
      async answer(call) {
        const { name, value } = await readSetting(call)
        changeSetting((await desk.config()).config, name, value)
        await prepare(name, value)
        const change = desk.changeConfig((now) => changeSetting(now, name, value), call.caller.name)
        return answerJson(200, await change)
      },
    },
    {
      method: 'GET',
      path: '/v1/config/history',
      needs: 'admin:ReadConfig',
      answer: async () => answerJson(200, { versions: await desk.configHistory() }),
    },
    {
      method: 'POST',
      path: '/v1/config/rollback',
      needs: 'admin:ChangeConfig',
      async answer(call) {
        const { version } = await readFields(call)
        if (typeof version !== 'number' || !Number.isSafeInteger(version)) {
          throw new Fault('invalid', 'expected {"version": number of a version}')
        }
        return answerJson(200, await desk.rollbackConfig(version, call.caller.name))
      },
    },
    {
      method: 'GET',
      path: '/v1/settings',
      needs: 'admin:ReadConfig',
      async answer() {
        const [bundle, held] = await Promise.all([desk.bundle(), desk.acknowledgements()])
        const { epoch, text } = bundle ?? { epoch: 0, text: '' }
        return answerJson(200, { epoch, text, held: Object.fromEntries(held) })
      },
    },
  ]
}

function authorityRoutes(desk: EnrolmentDesk): readonly AdminRoute[] {
  return [
    {
      method: 'GET',
      path: '/v1/authorities',
      needs: 'admin:ListAuthorities',
      answer: async () => answerJson(200, shown(await desk.authorities())),
    },
    {
      method: 'POST',
      path: '/v1/authorities/{step}',
      needs: 'admin:RotateAuthority',
      answer: async ({ params }) =>
        answerJson(200, shown(await desk.rotateAuthority(readStep(params.step ?? '')))),
    },
    {
      method: 'GET',
      path: '/v1/certificates',
      needs: 'admin:ListCertificates',
      answer: async () => answerJson(200, { certificates: await desk.certificates() }),
    },
  ]
}

function shown(authorities: readonly AuthorityView[]): unknown {
  return {
    authorities: authorities.map(({ pin, state, notAfterMs }) => ({ pin, state, notAfterMs })),
  }
}

function readStep(step: string): AuthorityStep {
  if (step === 'add' || step === 'issue' || step === 'drop') return step
  throw new Fault('invalid', 'the steps of a rotation are add, issue, drop')
}

async function readSetting(
  call: AdminCall,
): Promise<{ readonly name: string; readonly value: JsonValue | undefined }> {
  const { name, value } = await readFields(call)
  if (typeof name !== 'string' || name.length > 128) {
    throw new Fault('invalid', 'expected {"name": of a setting, "value": what it shall be}')
  }
  return { name, value: value as JsonValue | undefined }
}

async function readFields(call: AdminCall): Promise<Readonly<Record<string, unknown>>> {
  const body = await call.body()
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new Fault('invalid', 'expected a JSON object')
  }
  return body as Readonly<Record<string, unknown>>
}
