import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, seededRandom } from '../../base/index.ts'
import { parsePolicy, type PolicyKind, policyBytesMax } from './policy.ts'

const statement = { Effect: 'Allow', Action: 's3:GetObject', Resource: '*' }
const of = (changes: object, kind: PolicyKind = 'identity') =>
  parsePolicy(
    JSON.stringify({ Version: '2012-10-17', Statement: { ...statement, ...changes } }),
    kind,
  )

test('what is not understood is refused, with its place', () => {
  const condition = (element: object) => ({ Condition: element })
  const bucket = { Principal: '*' }
  const table: readonly (readonly [changes: object, message: RegExp, kind?: PolicyKind])[] = [
    [{ Effect: 'allow' }, /^Statement\.Effect: is neither "Allow" nor "Deny"/],
    [{ Effect: undefined }, /^Statement\.Effect/],
    [{ Actions: 's3:*' }, /^Statement: the element "Actions" is not known/],
    [{ NotAction: 's3:*' }, /exactly one of Action and NotAction/],
    [{ Action: undefined }, /exactly one of Action and NotAction/],
    [{ Resource: undefined }, /exactly one of Resource and NotResource/],
    [{ Action: [] }, /^Statement\.Action: is neither a text nor a list/],
    [{ Action: 7 }, /^Statement\.Action: is neither a text nor a list/],
    [{ Action: ['s3:*', 7] }, /holds something that is no text/],
    [{ Action: 's3' }, /"s3" is no action/],
    [{ Action: 's3:Get Object' }, /is no action/],
    [{ Action: '*:*' }, /is no action/],
    [{ Action: 's3:\u212aey' }, /is no action/],
    [{ Principal: '*' }, /the element "Principal" is not known/],
    [{ Resource: 'arn:aws:s3' }, /^Statement\.Resource: "arn:aws:s3" is neither/],
    [{ Resource: 'arn:aws:s3:*' }, /is neither "\*" nor arn:/],
    [{ Resource: 'arn:aws:s3:::' }, /names no resource/],
    [{ Resource: 'arn:aws:*:::a' }, /names no service/],
    [{ Resource: 'bucket/*' }, /is neither "\*" nor arn:/],
    [{ Resource: 'ARN:aws:s3:::a' }, /is neither "\*" nor arn:/],
    [{ Resource: `arn:aws:s3:::\${aws:username` }, /a variable without "}"/],
    [{ Resource: `arn:aws:s3:::\${username}` }, /is no variable/],
    [{ Resource: `arn:aws:s3:::\${}` }, /is no variable/],
    [{ Resource: `arn:aws:s3:::${'a'.repeat(2_048)}` }, /longer than 2048 characters/],
    [{ Sid: 7 }, /^Statement\.Sid/],
    [condition([]), /^Statement\.Condition: is not an object/],
    [condition({ StringEqual: { 'aws:username': 'a' } }), /StringEqual: is no condition operator/],
    [condition({ stringEquals: { 'aws:username': 'a' } }), /is no condition operator/],
    [condition({ 'ForSomeValues:StringEquals': { 'aws:username': 'a' } }), /is no quantifier/],
    [condition({ 'ForAllValues:Null': { 'aws:username': 'true' } }), /is no condition operator/],
    [condition({ NullIfExists: { 'aws:username': 'true' } }), /is no condition operator/],
    [condition({ ':StringEquals': { 'aws:username': 'true' } }), /is no condition operator/],
    [condition({ StringEquals: 'a' }), /StringEquals: is not an object/],
    [condition({ StringEquals: { username: 'a' } }), /is no condition key/],
    [condition({ StringEquals: { 'aws:username': [] } }), /has no value/],
    [
      condition({ StringEquals: { 'aws:username': { a: 1 } } }),
      /a value is text, number or boolean/,
    ],
    [condition({ NumericEquals: { 's3:max-keys': 'ten' } }), /"ten" is no number/],
    [condition({ NumericEquals: { 's3:max-keys': `\${aws:username}` } }), /is no number/],
    [condition({ DateEquals: { 'aws:CurrentTime': 'noon' } }), /is no date/],
    [condition({ Bool: { 'aws:SecureTransport': 'yes' } }), /is neither true nor false/],
    [condition({ Null: { 'aws:username': 'maybe' } }), /is neither true nor false/],
    [condition({ IpAddress: { 'aws:SourceIp': '10.0.0.0/40' } }), /is no address range/],
    [condition({ ArnLike: { 'aws:PrincipalArn': 'arn:aws:iam' } }), /is neither "\*" nor arn:/],
    [{}, /exactly one of Principal and NotPrincipal/, 'resource'],
    [{ NotPrincipal: '*' }, /would be for everybody else/, 'resource'],
    [{ ...bucket, NotPrincipal: '*' }, /exactly one of Principal/, 'resource'],
    [{ Principal: 'alice' }, /is neither "\*" nor an object/, 'resource'],
    [{ Principal: { AWS: 'alice' } }, /neither an account nor a user's name/, 'resource'],
    [{ Principal: { AWS: 'arn:aws:iam::123456789012:user/*' } }, /neither an account/, 'resource'],
    [{ Principal: { AWS: 'arn:aws:iam::*:root' } }, /neither an account/, 'resource'],
    [{ Principal: { Service: 'ec2' } }, /the element "Service" is not known/, 'resource'],
    [{ Principal: {} }, /is neither a text nor a list/, 'resource'],
  ]
  for (const [changes, message, kind] of table) {
    assert.throws(
      () => of(changes, kind),
      (error) => isFault(error, 'invalid') && message.test(error.message),
      JSON.stringify(changes),
    )
  }
})

test('the document itself is bounded and of a known version', () => {
  const text = JSON.stringify({ Statement: statement })
  assert.equal(parsePolicy(text, 'identity').statements.length, 1)
  const list = JSON.stringify({ Id: 'a', Statement: [statement, statement] })
  assert.equal(parsePolicy(list, 'identity').statements.length, 2)
  const wrong = [
    '[]',
    '{}',
    '{"Statement":[]}',
    '{"Statement":[7]}',
    JSON.stringify({ Version: '2012-10-18', Statement: statement }),
    JSON.stringify({ Version: 2012, Statement: statement }),
    JSON.stringify({ Statement: statement, Extra: 1 }),
    '{"Statement":{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}}',
    text.padEnd(policyBytesMax + 1, ' '),
  ]
  for (const document of wrong) {
    assert.throws(
      () => parsePolicy(document, 'identity'),
      (error) => isFault(error, 'invalid'),
      document.slice(0, 60),
    )
  }
})

test('every cut and many a changed character of a policy is refused or read, and nothing else', () => {
  const text = JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      {
        ...statement,
        Condition: { 'ForAnyValue:StringLikeIfExists': { 's3:prefix': `a/\${aws:username}/*` } },
      },
    ],
  })
  const random = seededRandom(5)
  for (let round = 0; round < 3_000; round++) {
    const at = random.integer(text.length)
    const changed =
      round < text.length
        ? text.slice(0, round)
        : text.slice(0, at) + String.fromCharCode(32 + random.integer(95)) + text.slice(at + 1)
    try {
      parsePolicy(changed, 'identity')
    } catch (error) {
      assert.ok(isFault(error, 'invalid'), String(error))
    }
  }
})
