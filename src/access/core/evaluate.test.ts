import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../base/index.ts'
import { decide, type Principal } from './evaluate.ts'
import { parsePolicy } from './policy.ts'
import type { Context } from './template.ts'

const home = '111111111111'
const other = '222222222222'

function contextOf(values: Readonly<Record<string, string | readonly string[]>>): Context {
  const map = new Map(
    Object.entries(values).map(([key, value]) => [
      key.toLowerCase(),
      typeof value === 'string' ? [value] : value,
    ]),
  )
  return { values: (key) => map.get(key) }
}

type Given = Readonly<Record<string, unknown>>
type Question = readonly [
  action: string,
  resource: string,
  context?: Readonly<Record<string, string | readonly string[]>>,
]

function user(statements: readonly Given[], version = '2012-10-17'): Principal {
  const text = JSON.stringify({ Version: version, Statement: statements })
  const policies = statements.length === 0 ? [] : [parsePolicy(text, 'identity')]
  return {
    kind: 'user',
    tenant: home,
    arn: `arn:aws:iam::${home}:user/alice`,
    name: 'alice',
    id: 'AIDA1',
    policies,
  }
}

const owner = (tenant: string): Principal => ({
  kind: 'owner',
  tenant,
  arn: `arn:aws:iam::${tenant}:root`,
})
const anonymous: Principal = { kind: 'anonymous' }
const bucketPolicy = (statements: readonly Given[]) =>
  parsePolicy(JSON.stringify({ Version: '2012-10-17', Statement: statements }), 'resource')

function may(
  principal: Principal,
  [action, resource, values = {}]: Question,
  tenant = home,
  bucket: readonly Given[] = [],
) {
  const policy = bucket.length === 0 ? undefined : bucketPolicy(bucket)
  const request = {
    action,
    resource: `arn:aws:s3:::${resource}`,
    context: contextOf(values),
  }
  return decide(principal, request, { tenant, policy }).isAllowed
}

function statementOf(Effect: 'Allow' | 'Deny', changes: Given): Given {
  const action = 'NotAction' in changes ? {} : { Action: 's3:*' }
  const resource = 'NotResource' in changes ? {} : { Resource: '*' }
  return { Effect, ...action, ...resource, ...changes }
}
const allow = (changes: Given = {}): Given => statementOf('Allow', changes)
const deny = (changes: Given = {}): Given => statementOf('Deny', changes)
const bucketArn = 'arn:aws:s3:::'

type Row = readonly [
  name: string,
  statements: readonly Given[],
  question: Question,
  expected: boolean,
]

function check(rows: readonly Row[], version?: string): void {
  for (const [name, statements, question, expected] of rows) {
    assert.equal(may(user(statements, version), question), expected, name)
  }
}

test('allow, deny and neither', () => {
  const get: Question = ['s3:GetObject', 'b/k']
  check([
    ['allowed', [allow()], get, true],
    ['a deny decides, first', [deny(), allow()], get, false],
    ['a deny decides, last', [allow(), deny()], get, false],
    ['another service', [allow({ Action: 'ec2:*' })], get, false],
    ['the whole star', [allow({ Action: '*' })], get, true],
    ['NotAction allows the rest', [allow({ NotAction: 's3:Delete*' })], get, true],
    ['NotAction excludes', [allow({ NotAction: 's3:Get*' })], get, false],
    ['NotAction denies the rest', [allow(), deny({ NotAction: 's3:List*' })], get, false],
    ['NotAction spares', [allow(), deny({ NotAction: 's3:Get*' })], get, true],
    ['NotResource allows the rest', [allow({ NotResource: `${bucketArn}x/*` })], get, true],
    ['NotResource excludes', [allow({ NotResource: `${bucketArn}b/*` })], get, false],
    ['NotResource spares', [allow(), deny({ NotResource: `${bucketArn}b/*` })], get, true],
  ])
  assert.equal(may(user([]), get), false)
})

test('actions have no case, and nothing but their name', () => {
  const get: Question = ['s3:GetObject', 'b/k']
  check([
    ['lower', [allow({ Action: 's3:getobject' })], get, true],
    ['upper', [allow({ Action: 'S3:GETOBJECT' })], get, true],
    ['deny in another case', [allow(), deny({ Action: 's3:GETobject' })], get, false],
    ['not a prefix', [allow({ Action: 's3:GetObjec' })], get, false],
    [
      'versions have an action of their own',
      [allow({ Action: 's3:GetObject' })],
      ['s3:GetObjectVersion', 'b/k'],
      false,
    ],
    ['one character', [allow({ Action: 's3:?etObject' })], get, true],
    ['in the middle', [allow({ Action: 's3:*Object' })], get, true],
    ['in the middle, not', [allow({ Action: 's3:*Bucket' })], get, false],
  ])
})

test('resources: the known escapes', () => {
  const of = (pattern: string) => [allow({ Resource: pattern })]
  const get = 's3:GetObject'
  check(
    [
      ['objects are not the bucket', of(`${bucketArn}b/*`), ['s3:DeleteBucket', 'b'], false],
      ['the bucket is not its objects', of(`${bucketArn}b`), [get, 'b/k'], false],
      ['a bucket whose name begins alike', of(`${bucketArn}b/*`), [get, 'b2/k'], false],
      ['as AWS: a star without slash reaches it', of(`${bucketArn}b*`), [get, 'b2/k'], true],
      ['names have a case', of(`${bucketArn}b/Secret`), [get, 'b/secret'], false],
      [
        'a star in the middle reaches across slashes',
        of(`${bucketArn}b/*/log`),
        [get, 'b/x/y/log'],
        true,
      ],
      ['and needs its end', of(`${bucketArn}b/*/log`), [get, 'b/x/y/logs'], false],
      ['dots are characters', of(`${bucketArn}b/pub/*`), [get, 'b/pub/../private'], true],
      ['dots lead nowhere', of(`${bucketArn}b/private`), [get, 'b/pub/../private'], false],
      [
        'what is encoded is not decoded again',
        of(`${bucketArn}b/private/*`),
        [get, 'b/private%2fx'],
        false,
      ],
      ['nor in the pattern', of(`${bucketArn}b/private%2F*`), [get, 'b/private/x'], false],
      ['a double slash is a key of its own', of(`${bucketArn}b/a/*`), [get, 'b//a/x'], false],
      ['composed is not decomposed', of(`${bucketArn}b/é`), [get, 'b/e\u0301'], false],
      ['full-width is not ASCII', of(`${bucketArn}b/ａ`), [get, 'b/a'], false],
      ['a key that is a star is no wildcard', of(`${bucketArn}b/secret`), [get, 'b/*'], false],
      ['a key that is a question mark', of(`${bucketArn}b/a`), [get, 'b/?'], false],
      ['colons of a key are part of it', of(`${bucketArn}b/a:*`), [get, 'b/a:b:c'], true],
      ['a key cannot be another account', of('arn:aws:iam::*:user/*'), [get, 'b:user/x'], false],
      ['a wildcard stays in its part', of('arn:aws:s3:*:*:b/k'), [get, 'b/k'], true],
      ['and does not reach over a colon', of('arn:*:s3:x::b/k'), [get, 'b/k'], false],
      ['all of S3', of(`${bucketArn}*`), ['s3:ListAllMyBuckets', '*'], true],
      ['some of S3 is not all of it', of(`${bucketArn}b*`), ['s3:ListAllMyBuckets', '*'], false],
      ['newline in a key', of(`${bucketArn}b/a*z`), [get, 'b/a\nz'], true],
    ].map((row) => row as unknown as Row),
  )
})

test('variables', () => {
  const mine = [allow({ Resource: `${bucketArn}home/\${aws:username}/*` })]
  const get = 's3:GetObject'
  const as = (name: string) => ({ 'aws:username': name })
  check([
    ['own', mine, [get, 'home/alice/x', as('alice')], true],
    ['not own', mine, [get, 'home/bob/x', as('alice')], false],
    [
      'case of the key',
      [allow({ Resource: `${bucketArn}\${AWS:UserName}/*` })],
      [get, 'alice/x', as('alice')],
      true,
    ],
    ['without a value: no allow', mine, [get, 'home//x'], false],
    ['a value is literal', mine, [get, 'home/bob/x', as('*')], false],
    ['a value of question marks is literal', mine, [get, 'home/bob/x', as('???')], false],
    [
      'a value is not read again',
      mine,
      [get, 'home/alice/x', { ...as(`\${aws:userid}`), 'aws:userid': 'alice' }],
      false,
    ],
    [
      'a default',
      [allow({ Resource: `${bucketArn}\${aws:username, 'pub'}/*` })],
      [get, 'pub/x'],
      true,
    ],
    [
      'a default is not used when there is a value',
      [allow({ Resource: `${bucketArn}\${aws:username, 'pub'}/*` })],
      [get, 'pub/x', as('alice')],
      false,
    ],
    ['the star itself', [allow({ Resource: `${bucketArn}b/\${*}` })], [get, 'b/x'], false],
    ['the star itself, matched', [allow({ Resource: `${bucketArn}b/\${*}` })], [get, 'b/*'], true],
  ])
})

test('variables without a value, or with a misleading one', () => {
  const mine = [allow({ Resource: `${bucketArn}home/\${aws:username}/*` })]
  const get = 's3:GetObject'
  const as = (name: string) => ({ 'aws:username': name })
  check([
    [
      'a deny without a value denies',
      [allow(), deny({ Resource: `${bucketArn}home/\${aws:username}/*` })],
      [get, 'home/bob/x'],
      false,
    ],
    [
      'a deny of all but an unknown denies',
      [allow(), deny({ NotResource: `${bucketArn}home/\${aws:username}/*` })],
      [get, 'home/bob/x'],
      false,
    ],
    [
      'an allow of all but an unknown allows nothing there',
      [allow({ NotResource: `${bucketArn}home/\${aws:username}/*` })],
      [get, 'home/bob/x'],
      false,
    ],
    [
      'several values are none',
      mine,
      [get, 'home/alice/x', { 'aws:username': ['alice', 'bob'] }],
      false,
    ],
    [
      'in an account part',
      [
        allow({
          Resource: 'arn:aws:s3:::b/k',
          Condition: {
            ArnEquals: { 'aws:PrincipalArn': `arn:aws:iam::\${aws:PrincipalAccount}:user/*` },
          },
        }),
      ],
      [
        get,
        'b/k',
        { 'aws:PrincipalAccount': '1:2', 'aws:PrincipalArn': 'arn:aws:iam::1:2:user/x' },
      ],
      false,
    ],
  ])
  check([['2008 has no variables', mine, [get, 'home/alice/x', as('alice')], false]], '2008-10-17')
  check(
    [['they are texts', mine, [get, `home/\${aws:username}/x`, as('alice')], true]],
    '2008-10-17',
  )
})

const operatorRows: readonly (readonly [
  operator: string,
  value: unknown,
  given: string | readonly string[] | undefined,
  expected: boolean,
])[] = [
  ['StringEquals', 'a', 'a', true],
  ['StringEquals', 'a', 'A', false],
  ['StringEquals', 'a*', 'ab', false],
  ['StringEquals', ['a', 'b'], 'b', true],
  ['StringNotEquals', ['a', 'b'], 'b', false],
  ['StringNotEquals', ['a', 'b'], 'c', true],
  ['StringEqualsIgnoreCase', 'Alice', 'aLICE', true],
  ['StringNotEqualsIgnoreCase', 'Alice', 'aLICE', false],
  ['StringLike', 'a*c', 'abc', true],
  ['StringLike', 'a?c', 'abbc', false],
  ['StringNotLike', 'a*', 'abc', false],
  ['NumericEquals', 10, '10.0', true],
  ['NumericNotEquals', '10', '11', true],
  ['NumericLessThan', '10', '9', true],
  ['NumericLessThan', '10', '10', false],
  ['NumericLessThanEquals', '10', '10', true],
  ['NumericGreaterThan', '10', '9', false],
  ['NumericGreaterThanEquals', '10', '10', true],
  ['NumericLessThan', '10', 'few', false],
  ['NumericNotEquals', '10', 'few', false],
  ['DateLessThan', '2020-01-02T00:00:00Z', '2020-01-01T00:00:00Z', true],
  ['DateGreaterThan', '2020-01-02T00:00:00Z', '2020-01-01T00:00:00Z', false],
  ['DateEquals', '1577836800', '2020-01-01T00:00:00Z', true],
  ['Bool', 'true', 'true', true],
  ['Bool', true, 'TRUE', true],
  ['Bool', 'true', 'false', false],
  ['Bool', 'false', 'no', false],
  ['IpAddress', '10.0.0.0/8', '10.2.3.4', true],
  ['IpAddress', ['192.168.0.0/16', '10.0.0.0/8'], '::ffff:10.2.3.4', true],
  ['IpAddress', '10.0.0.0/8', 'unix socket', false],
  ['NotIpAddress', '10.0.0.0/8', '10.2.3.4', false],
  ['NotIpAddress', '10.0.0.0/8', '::ffff:10.2.3.4', false],
  ['NotIpAddress', '10.0.0.0/8', 'unix socket', false],
  ['NotIpAddress', '10.0.0.0/8', '2001:db8::1', true],
  ['ArnEquals', 'arn:aws:iam::1:user/*', 'arn:aws:iam::1:user/x', true],
  ['ArnLike', 'arn:aws:iam::*:user/x', 'arn:aws:iam::1:user/x', true],
  ['ArnLike', 'arn:aws:iam::*:user/x', 'arn:aws:iam::1:2:user/x', false],
  ['ArnLike', 'arn:aws:iam:::x', 'no name', false],
  ['ArnNotLike', 'arn:aws:iam::1:user/*', 'no name', false],
  ['ArnNotEquals', 'arn:aws:iam::1:user/*', 'arn:aws:iam::2:user/x', true],
  // A key that is missing.
  ['StringEquals', 'a', undefined, false],
  ['StringEquals', '', undefined, false],
  ['StringLike', '*', undefined, false],
  ['StringNotEquals', 'a', undefined, true],
  ['StringNotLike', '*', undefined, true],
  ['NumericLessThan', '10', undefined, false],
  ['NumericNotEquals', '10', undefined, true],
  ['DateNotEquals', '2020-01-01', undefined, true],
  ['Bool', 'false', undefined, false],
  ['IpAddress', '0.0.0.0/0', undefined, false],
  ['NotIpAddress', '10.0.0.0/8', undefined, true],
  ['ArnNotLike', 'arn:aws:iam::1:user/*', undefined, true],
  ['StringEqualsIfExists', 'a', undefined, true],
  ['StringEqualsIfExists', 'a', 'b', false],
  ['StringNotEqualsIfExists', 'a', undefined, true],
  ['IpAddressIfExists', '10.0.0.0/8', undefined, true],
  ['BoolIfExists', 'true', 'false', false],
  ['Null', 'true', undefined, true],
  ['Null', 'false', undefined, false],
  ['Null', 'true', 'x', false],
  ['Null', false, 'x', true],
  ['Null', 'true', [], true],
  ['Null', 'false', '', true],
  // Sets.
  ['ForAllValues:StringEquals', ['a', 'b'], ['a', 'b'], true],
  ['ForAllValues:StringEquals', ['a', 'b'], ['a', 'c'], false],
  ['ForAllValues:StringEquals', ['a'], undefined, true],
  ['ForAllValues:StringEquals', ['a'], [], true],
  ['ForAnyValue:StringEquals', ['a'], ['b', 'a'], true],
  ['ForAnyValue:StringEquals', ['a'], ['b'], false],
  ['ForAnyValue:StringEquals', ['a'], [], false],
  ['ForAnyValue:StringEquals', ['a'], undefined, false],
  ['ForAnyValue:StringEqualsIfExists', ['a'], undefined, true],
  ['ForAllValues:StringNotEquals', ['a'], ['b', 'c'], true],
  ['ForAllValues:StringNotEquals', ['a'], ['b', 'a'], false],
  ['ForAllValues:StringNotEquals', ['a'], undefined, true],
  ['ForAnyValue:StringNotEquals', ['a'], ['a', 'b'], true],
  ['ForAnyValue:StringNotEquals', ['a'], ['a'], false],
  ['ForAnyValue:StringNotEquals', ['a', 'b'], ['a', 'b'], false],
  ['ForAnyValue:StringNotEquals', ['a'], undefined, false],
  ['ForAnyValue:StringNotLike', ['a*'], ['abc', 'xyz'], true],
  // Several values without a quantifier: all must do, for an Allow.
  ['StringEquals', 'a', ['a', 'b'], false],
  ['StringNotEquals', 'a', ['b', 'a'], false],
]

test('conditions: operators', () => {
  const when = (operator: string, key: string, value: unknown) => [
    allow({ Condition: { [operator]: { [key]: value } } }),
  ]
  for (const [operator, value, given, expected] of operatorRows) {
    const context = given === undefined ? {} : { 'test:key': given }
    const question: Question = ['s3:GetObject', 'b/k', context]
    assert.equal(
      may(user(when(operator, 'test:Key', value)), question),
      expected,
      `${operator} ${JSON.stringify(value)} of ${JSON.stringify(given)}`,
    )
  }
})

test('conditions of a deny err towards refusal', () => {
  const unless = (operator: string, value: unknown, given?: string | readonly string[]) => {
    const statements = [allow(), deny({ Condition: { [operator]: { 'test:key': value } } })]
    const context = given === undefined ? {} : { 'test:key': given }
    return may(user(statements), ['s3:GetObject', 'b/k', context])
  }
  assert.equal(unless('StringEquals', 'a', 'b'), true)
  assert.equal(unless('StringEquals', 'a', 'a'), false)
  assert.equal(unless('StringNotEquals', 'a'), false)
  assert.equal(unless('StringEquals', 'a'), true)
  assert.equal(unless('NumericGreaterThan', '10', 'many'), false)
  assert.equal(unless('IpAddress', '10.0.0.0/8', 'unix socket'), false)
  assert.equal(unless('NotIpAddress', '10.0.0.0/8', 'unix socket'), false)
  assert.equal(unless('StringEquals', 'a', ['b', 'a']), false)
  assert.equal(unless('StringEquals', `\${aws:username}`, 'x'), false)
  assert.equal(unless('StringNotEquals', `\${aws:username}`, 'x'), false)
  assert.equal(
    unless('ArnNotLike', `arn:aws:iam::1:user/\${aws:username}`, 'arn:aws:iam::1:user/x'),
    false,
  )
  assert.equal(
    unless('ArnLike', `arn:aws:iam::1:user/\${aws:username}`, 'arn:aws:iam::1:user/x'),
    false,
  )
})

test('all operators and all keys of a statement must hold', () => {
  const both = [
    allow({ Condition: { StringEquals: { 'k:a': 'x', 'k:b': 'y' }, Bool: { 'k:c': 'true' } } }),
  ]
  const full = { 'k:a': 'x', 'k:b': 'y', 'k:c': 'true' }
  assert.equal(may(user(both), ['s3:GetObject', 'b/k', full]), true)
  for (const key of Object.keys(full)) {
    assert.equal(may(user(both), ['s3:GetObject', 'b/k', { ...full, [key]: 'z' }]), false, key)
  }
})

test('tenants: both sides allow, or nothing is', () => {
  const get: Question = ['s3:GetObject', 'b/k']
  const alice = `arn:aws:iam::${home}:user/alice`
  const grant = (principal: unknown) => allow({ Principal: principal, Resource: `${bucketArn}b/*` })
  const table: readonly (readonly [
    name: string,
    principal: Principal,
    tenant: string,
    bucket: readonly Given[],
    expected: boolean,
  ])[] = [
    ['own policy', user([allow()]), home, [], true],
    ['own tenant, no policy', user([]), home, [], false],
    ['the bucket names her', user([]), home, [grant({ AWS: alice })], true],
    ['the bucket names everybody', user([]), home, [grant('*')], true],
    ['the bucket names her account only', user([]), home, [grant({ AWS: home })], false],
    ['the bucket names another', user([]), home, [grant({ AWS: `${alice}2` })], false],
    ['a deny of the bucket', user([allow()]), home, [deny({ Principal: { AWS: alice } })], false],
    ['a deny of the account', user([allow()]), home, [deny({ Principal: { AWS: home } })], false],
    [
      'a deny of all but her',
      user([allow()]),
      home,
      [deny({ NotPrincipal: { AWS: alice } })],
      true,
    ],
    [
      'a deny of all but others',
      user([allow()]),
      home,
      [deny({ NotPrincipal: { AWS: other } })],
      false,
    ],
    ['another tenant, her policy alone', user([allow()]), other, [], false],
    ['another tenant, the bucket alone', user([]), other, [grant({ AWS: alice })], false],
    ['another tenant, both', user([allow()]), other, [grant({ AWS: alice })], true],
    ['another tenant, both by account', user([allow()]), other, [grant({ AWS: home })], true],
    ['another tenant, both by everybody', user([allow()]), other, [grant('*')], true],
    [
      'another tenant, her own deny',
      user([allow(), deny()]),
      other,
      [grant({ AWS: alice })],
      false,
    ],
    ['owner at home', owner(home), home, [], true],
    ['owner at home, denied by the bucket', owner(home), home, [deny({ Principal: '*' })], false],
    ['owner elsewhere', owner(home), other, [], false],
    ['owner elsewhere, named', owner(home), other, [grant({ AWS: home })], true],
    ['owner elsewhere, a user of his is named', owner(home), other, [grant({ AWS: alice })], false],
    ['nobody', anonymous, home, [], false],
    ['nobody, everybody is named', anonymous, home, [grant('*')], true],
    ['nobody, an account is named', anonymous, home, [grant({ AWS: home })], false],
    [
      'nobody is among "all but her"',
      anonymous,
      home,
      [grant('*'), deny({ NotPrincipal: { AWS: alice } })],
      false,
    ],
  ]
  for (const [name, principal, tenant, bucket, expected] of table) {
    assert.equal(may(principal, get, tenant, bucket), expected, name)
  }
  const locked = [deny({ Principal: '*' })]
  assert.equal(may(owner(home), ['s3:DeleteBucketPolicy', 'b'], home, locked), true)
  assert.equal(may(owner(other), ['s3:DeleteBucketPolicy', 'b'], home, locked), false)
  const operator: Principal = { kind: 'operator', tenant: home, arn: 'x' }
  assert.equal(may(operator, get, other, locked), true)
})

test('a policy more never allows what a deny refuses, and never refuses without one', () => {
  const random = seededRandom(11)
  const pick = <T>(items: readonly T[]): T => items[random.integer(items.length)] as T
  const statement = (): Given => ({
    Effect: pick(['Allow', 'Deny']),
    [pick(['Action', 'NotAction'])]: pick(['s3:Get*', 's3:*', 's3:PutObject', '*']),
    [pick(['Resource', 'NotResource'])]: pick([
      '*',
      `${bucketArn}b/*`,
      `${bucketArn}b/\${aws:username}/*`,
    ]),
    ...pick([
      {},
      { Condition: { StringEquals: { 'aws:username': pick(['alice', 'bob']) } } },
      { Condition: { StringNotEquals: { 'aws:username': 'alice' } } },
    ]),
  })
  for (let round = 0; round < 1_000; round++) {
    const given = Array.from({ length: 1 + random.integer(4) }, statement)
    const question: Question = [
      pick(['s3:GetObject', 's3:PutObject', 's3:ListBucket']),
      pick(['b/alice/x', 'b', 'c/y']),
      pick([{}, { 'aws:username': 'alice' }, { 'aws:username': 'bob' }]),
    ]
    const is = may(user(given), question)
    const allows = given.filter(({ Effect }) => Effect === 'Allow')
    const denials = given.filter(({ Effect }) => Effect === 'Deny')
    const isAllowed = allows.length > 0 && may(user(allows), question)
    const isDenied = denials.length > 0 && !may(user([allow(), ...denials]), question)
    assert.equal(is, isAllowed && !isDenied)
    assert.equal(may(user([...given].reverse()), question), is)
  }
})
