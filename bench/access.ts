// What deciding a request costs: compiled policies against requests as the S3 gateway makes them, in CPU time of this
// process, beside one HMAC-SHA-256 of a short text (which every signed request pays) as the machine's own measure.
//
//   npm run bench -- access [--rounds 300000]

import { createHmac } from 'node:crypto'
import { parseArgs } from 'node:util'
import {
  type AccessRequest,
  decide,
  parsePolicy,
  type Principal,
  type Target,
} from '../src/access/index.ts'

const tenant = '111111111111'
const aimMicroseconds = 3

const allow = (action: unknown, resource: unknown, more: object = {}): object => ({
  Effect: 'Allow',
  Action: action,
  Resource: resource,
  ...more,
})

const plain = [allow(['s3:GetObject', 's3:PutObject'], 'arn:aws:s3:::photos/*')]
const rich = [
  ...Array.from({ length: 20 }, (_, n) =>
    allow(['s3:Get*', 's3:List*'], [`arn:aws:s3:::bucket-${n}`, `arn:aws:s3:::bucket-${n}/*`]),
  ),
  allow('s3:*', 'arn:aws:s3:::photos/*/raw/*.jpg', {
    Condition: {
      IpAddress: { 'aws:SourceIp': ['192.168.0.0/16', '10.0.0.0/8'] },
      Bool: { 'aws:SecureTransport': 'true' },
    },
  }),
  { Effect: 'Deny', Action: 's3:Delete*', Resource: 'arn:aws:s3:::photos/*' },
]
const home = [allow('s3:*', `arn:aws:s3:::photos/\${aws:username}/*`)]
const worst = [allow('s3:*', `arn:aws:s3:::photos/${'*a?'.repeat(600)}b`)]

const known: Readonly<Record<string, readonly string[]>> = {
  'aws:username': ['alice'],
  'aws:sourceip': ['10.1.2.3'],
  'aws:securetransport': ['true'],
}
const context = { values: (key: string) => known[key] }

function userWith(...policies: readonly (readonly object[])[]): Principal {
  const compiled = policies.map((statements) =>
    parsePolicy(JSON.stringify({ Version: '2012-10-17', Statement: statements }), 'identity'),
  )
  const arn = `arn:aws:iam::${tenant}:user/alice`
  return { kind: 'user', tenant, arn, name: 'alice', id: 'AIDA', policies: compiled }
}

export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: { rounds: { type: 'string', default: '300000' } },
  })
  const rounds = Number(values.rounds)
  const bucket = parsePolicy(
    JSON.stringify({
      Statement: {
        Effect: 'Deny',
        Principal: '*',
        Action: 's3:PutObject',
        Resource: 'arn:aws:s3:::photos/locked/*',
      },
    }),
    'resource',
  )
  const mine: Target = { tenant, policy: undefined }
  const key = 'alice/2026/11/raw/IMG_20261121_160000.jpg'
  const hmac = measure(rounds, () => createHmac('sha256', 'key').update(key).digest().length > 0)
  console.log(`one HMAC-SHA-256: ${hmac.toFixed(2)} us`)
  const asked = (action: string, name = key): AccessRequest => ({
    action,
    resource: `arn:aws:s3:::photos/${name}`,
    context,
  })
  const cases: readonly (readonly [
    name: string,
    principal: Principal,
    request: AccessRequest,
    target: Target,
  ])[] = [
    ['one policy, one statement', userWith(plain), asked('s3:GetObject'), mine],
    [
      'three policies, 44 statements, conditions',
      userWith(plain.slice(1).concat(rich), rich, home),
      asked('s3:PutObject'),
      mine,
    ],
    ['a variable in the resource', userWith(home), asked('s3:GetObject'), mine],
    ['beside a bucket policy', userWith(plain), asked('s3:GetObject'), { tenant, policy: bucket }],
    ['refused', userWith(plain), asked('s3:DeleteObject'), mine],
  ]
  for (const [name, principal, request, target] of cases) {
    const cost = measure(rounds, () => decide(principal, request, target).isAllowed)
    const verdict = cost < aimMicroseconds ? 'ok' : 'MISSED'
    console.log(
      `${name}: ${cost.toFixed(2)} us, ${(cost / hmac).toFixed(2)} HMACs (aim under ${aimMicroseconds} us: ${verdict})`,
    )
  }
  const long = 'a'.repeat(1_024)
  const hostile = userWith(worst)
  const cost = measure(
    Math.ceil(rounds / 1_000),
    () => decide(hostile, asked('s3:GetObject', long), mine).isAllowed,
  )
  console.log(
    `a hostile pattern of 600 runs against a key of 1,024: ${cost.toFixed(0)} us (bounded, not fast)`,
  )
}

/** Microseconds of CPU per call. */
function measure(rounds: number, work: () => boolean): number {
  let trues = 0
  for (let n = 0; n < Math.min(rounds, 20_000); n++) if (work()) trues++
  const before = process.cpuUsage()
  for (let n = 0; n < rounds; n++) if (work()) trues++
  const { user, system } = process.cpuUsage(before)
  if (trues < 0) throw new Error('unreachable')
  return (user + system) / rounds
}
