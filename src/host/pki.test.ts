// What holds for X.509 and for the simulator's certificates alike.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault, seededRandom } from '../base/index.ts'
import type { CertificateLeaf, Pki } from './host.ts'
import { realPki } from './real/index.ts'
import { createSignedPki } from './signed-pki.ts'

const nowMs = 1_800_000_000_000
const validity = { notBeforeMs: nowMs - 1_000_000, notAfterMs: nowMs + 1_000_000 }
const leaf: CertificateLeaf = {
  subjectName: 'node-2',
  uris: ['atoll://00112233445566778899aabbccddeeff/node/2'],
  hosts: ['10.11.12.2', 'rpi2.local'],
  usage: 'node',
  ...validity,
}

const kinds: readonly (readonly [string, Pki])[] = [
  ['X.509', realPki],
  ['signed JSON', createSignedPki(seededRandom(3))],
]

for (const [kind, pki] of kinds) {
  const makeAuthority = () => pki.makeAuthority({ subjectName: 'Atoll cluster x', ...validity })

  test(`${kind}: a request becomes a certificate that says what was asked, and verifies`, async () => {
    const authority = await makeAuthority()
    const { requestPem } = await pki.makeRequest('node-2')
    const { keyHash, subjectName } = await pki.readRequest(requestPem)
    assert.equal(subjectName, 'node-2')
    const certificatePem = await pki.issue(authority, { ...leaf, requestPem })
    const own = await pki.verify(certificatePem, {
      authorityPem: authority.certificatePem,
      atMs: nowMs,
    })
    assert.deepEqual(
      [own.subjectName, own.uris, [...own.hosts].sort(), own.keyHash, own.isAuthority],
      [leaf.subjectName, leaf.uris, [...leaf.hosts].sort(), keyHash, false],
    )
    assert.deepEqual([own.notBeforeMs, own.notAfterMs], [leaf.notBeforeMs, leaf.notAfterMs])
    assert.match(own.serial, /^[1-9a-f][0-9a-f]*$/)
    assert.deepEqual(await pki.readCertificate(certificatePem), own)
    const ofAuthority = await pki.readCertificate(authority.certificatePem)
    assert.deepEqual([ofAuthority.isAuthority, ofAuthority.subjectName], [true, 'Atoll cluster x'])
    assert.notEqual(ofAuthority.keyHash, own.keyHash)
  })

  test(`${kind}: another authority, another time and a leaf as authority are refused`, async () => {
    const [authority, other] = [await makeAuthority(), await makeAuthority()]
    const request = await pki.makeRequest('node-2')
    const { requestPem } = request
    const pem = await pki.issue(authority, { ...leaf, requestPem })
    const verify = (certificatePem: string, authorityPem: string, atMs = nowMs) =>
      pki.verify(certificatePem, { authorityPem, atMs })
    const refused = (asked: Promise<unknown>) =>
      assert.rejects(asked, (error) => isFault(error, 'unauthenticated'))
    await refused(verify(pem, other.certificatePem))
    await refused(verify(pem, ''))
    await refused(verify(pem, authority.certificatePem, validity.notAfterMs + 1000))
    await refused(verify(pem, authority.certificatePem, validity.notBeforeMs - 1000))
    await verify(pem, `${other.certificatePem}${authority.certificatePem}`)
    const below = await pki.issue(
      { certificatePem: pem, privateKeyPem: request.privateKeyPem },
      { ...leaf, requestPem },
    )
    await refused(verify(below, pem))
    await refused(verify(below, `${authority.certificatePem}${pem}`))
    const long = { ...leaf, notAfterMs: validity.notAfterMs + 5_000_000 }
    const cut = await pki.issue(authority, { ...long, requestPem })
    assert.equal((await pki.readCertificate(cut)).notAfterMs, validity.notAfterMs)
  })

  test(`${kind}: a signature is of one key and of these bytes`, async () => {
    const [own, other] = [await pki.makeRequest('a'), await pki.makeRequest('b')]
    const bytes = seededRandom(1).bytes(100)
    const signature = await pki.sign(own.privateKeyPem, bytes)
    assert.equal(signature.length, 64)
    assert.equal(await pki.isSignedBy(own.requestPem, { bytes, signature }), true)
    assert.equal(await pki.isSignedBy(other.requestPem, { bytes, signature }), false)
    assert.equal(await pki.isSignedBy(own.requestPem, { bytes: bytes.slice(1), signature }), false)
    const short = signature.slice(1)
    assert.equal(await pki.isSignedBy(own.requestPem, { bytes, signature: short }), false)
  })

  test(`${kind}: noise is a fault, and a request with a changed bit proves nothing`, async () => {
    const random = seededRandom(6)
    const authority = await makeAuthority()
    const { requestPem } = await pki.makeRequest('node-2')
    const own = await pki.readRequest(requestPem)
    const isRefusal = (error: unknown): boolean => isFault(error)
    for (let round = 0; round < 120; round++) {
      const at = 36 + random.integer(requestPem.length - 72)
      const letter = String.fromCharCode(48 + random.integer(75))
      if (letter.toLowerCase() === requestPem[at]?.toLowerCase()) continue
      const noise =
        requestPem.slice(0, at) +
        letter +
        requestPem.slice(at + 1 + random.integer(2) * random.integer(9))
      // The last letter of base64 has bits that count for nothing; who is named must not change with them.
      const read = await pki.readRequest(noise).catch((error: unknown) => error)
      if (!isRefusal(read)) assert.deepEqual(read, own)
      const certificate = authority.certificatePem
      const cut = certificate.slice(0, random.integer(certificate.length - 20))
      await assert.rejects(pki.readCertificate(cut), isRefusal)
      const under = { authorityPem: authority.certificatePem, atMs: nowMs }
      await assert.rejects(pki.verify(noise, under), isRefusal)
    }
    for (const text of ['', 'x'.repeat(100_000), '-----BEGIN CERTIFICATE REQUEST-----\n']) {
      await assert.rejects(pki.readRequest(text), isRefusal)
      await assert.rejects(pki.readCertificate(text), isRefusal)
    }
  })
}

test('X.509: names that would be several, or none, are refused', async () => {
  const authority = await realPki.makeAuthority({ subjectName: 'Atoll cluster x', ...validity })
  const { requestPem } = await realPki.makeRequest('node-2')
  for (const hosts of [
    ['*'],
    ['*.local'],
    ['a,DNS:b'],
    ['1.2.3'],
    ['1:2'],
    [''],
    ['fe80::1%eth0'],
    ['a..b'],
  ]) {
    const asked = realPki.issue(authority, { ...leaf, hosts, requestPem })
    await assert.rejects(asked, (error) => isFault(error, 'invalid'), hosts[0])
  }
  for (const name of ['', 'a,b', 'a\nb', 'CN=x', 'x'.repeat(65)]) {
    await assert.rejects(realPki.makeRequest(name), (error) => isFault(error, 'invalid'))
  }
})
