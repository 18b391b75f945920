// A real HTTP server in front of the gateway and the in-memory model, with a client of the stock SDK: for
// tests only.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import {
  CreateBucketCommand,
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { createRealHost } from '../../../host/real/index.ts'
import { createS3Handler, s3Malformed } from '../handler.ts'
import { createMemoryCluster } from './memory-objects.ts'

export const credentials = { accessKeyId: 'AKIDTEST', secretAccessKey: 'secret/with+signs=' }
type ClientOptions = ConstructorParameters<typeof S3Client>[0]

export type SdkWorld = {
  readonly endpoint: string
  readonly port: number
  readonly client: S3Client
  /** Path style and one attempt, unless `options` say otherwise. */
  newClient(options?: ClientOptions): S3Client
  /** Of the bucket 'first', which exists. */
  put(
    key: string,
    body: string | Uint8Array,
    more?: object,
  ): Promise<{ ETag?: string | undefined; ChecksumCRC32?: string | undefined }>
  get(key: string): Promise<Buffer>
  close(): Promise<void>
}

export async function startSdkWorld(): Promise<SdkWorld> {
  const root = mkdtempSync(`${tmpdir()}/atoll-s3-`)
  const host = createRealHost({
    rootPath: root,
    journal: { format: 'text', level: 'warning' },
    onFatal: (_event, error) => {
      throw error
    },
  })
  const cluster = createMemoryCluster({
    wallMs: () => host.clock.wallMs(),
    credentials: [credentials],
    region: 'eu-test-1',
  })
  const handler = createS3Handler(
    { host, ...cluster },
    { region: 'eu-test-1', baseDomains: ['localhost', 's3.localhost'] },
  )
  const listener = await host.http.serve(
    { host: '127.0.0.1', port: 0 },
    { handler, onMalformed: s3Malformed },
  )
  const { port } = listener.address
  const endpoint = `http://127.0.0.1:${port}`
  const newClient = (options: ClientOptions = {}): S3Client =>
    new S3Client({
      region: 'eu-test-1',
      endpoint,
      forcePathStyle: true,
      credentials,
      maxAttempts: 1,
      ...options,
    })
  const client = newClient()
  await client.send(new CreateBucketCommand({ Bucket: 'first' }))
  return {
    endpoint,
    port,
    client,
    newClient,
    put: (Key, Body, more = {}) =>
      client.send(new PutObjectCommand({ Bucket: 'first', Key, Body, ...more })),
    async get(Key) {
      const found = await client.send(new GetObjectCommand({ Bucket: 'first', Key }))
      return Buffer.from((await found.Body?.transformToByteArray()) ?? [])
    },
    async close() {
      client.destroy()
      await listener.close()
      rmSync(root, { recursive: true, force: true })
    },
  }
}

/** Status and code of a failed command; 200 when it did not fail. */
export async function failure(work: Promise<unknown>): Promise<{ status: number; code: string }> {
  try {
    await work
  } catch (error) {
    assert.ok(error instanceof S3ServiceException, String(error))
    assert.ok(error.$metadata.requestId)
    return { status: error.$metadata.httpStatusCode ?? 0, code: error.name }
  }
  return { status: 200, code: '' }
}
