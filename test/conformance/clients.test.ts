// Stock clients against real nodes: a 256 MiB file, 2,000 small files, a backup and its restore, compared by
// hash. A client that is not installed is skipped with a line that says so; .ci/run installs them.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import {
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import {
  type Cluster,
  getHash,
  hasCommand,
  randomFile,
  run,
  sha256,
  startCluster,
} from '../e2e/cluster.ts'

const smallFiles = 2000
const mebibyte = 1024 * 1024
let cluster: Cluster
let work: string
let largeHash: string
let smallHash: string

before(async () => {
  cluster = await startCluster({ portOffset: 3000 })
  work = mkdtempSync(join(tmpdir(), 'atoll-clients-'))
  const large = randomFile(256 * mebibyte)
  writeFileSync(join(work, 'large.bin'), large)
  largeHash = sha256(large)
  mkdirSync(join(work, 'small'))
  for (let i = 0; i < smallFiles; i++) {
    mkdirSync(join(work, 'small', `d${i % 20}`), { recursive: true })
    writeFileSync(join(work, 'small', `d${i % 20}`, `f${i}.txt`), randomFile(1 + ((i * 37) % 3000)))
  }
  smallHash = treeHash(join(work, 'small'))
})
after(async () => {
  await cluster.stop()
  rmSync(work, { recursive: true, force: true })
})

/** One hash over names and contents. */
function treeHash(directory: string): string {
  const hash = createHash('sha256')
  const names = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
  for (const name of names) hash.update(name.slice(directory.length)).update(readFileSync(name))
  return hash.digest('hex')
}

function fileHash(path: string): string {
  return sha256(readFileSync(path))
}

function environment(): Record<string, string> {
  return {
    AWS_ACCESS_KEY_ID: cluster.line.accessKeyId,
    AWS_SECRET_ACCESS_KEY: cluster.line.secretAccessKey,
    AWS_DEFAULT_REGION: cluster.line.region,
    AWS_EC2_METADATA_DISABLED: 'true',
    // rclone refuses to start beside a bundle of its own.
    AWS_CA_BUNDLE: '',
    HOME: work,
  }
}

async function succeed(command: string, args: readonly string[], env = {}): Promise<string> {
  const ran = await run(command, args, { env: { ...environment(), ...env }, cwd: work })
  assert.equal(ran.status, 0, `${command} ${args.join(' ')}: ${ran.stderr}\n${ran.stdout}`)
  return ran.stdout
}

test('AWS SDK for JavaScript v3 with its defaults', async () => {
  const client: S3Client = cluster.client(0)
  await succeedSdk(client)
})

async function succeedSdk(client: S3Client): Promise<void> {
  const Bucket = 'predastore'
  const Body = readFileSync(join(work, 'large.bin'))
  await new Upload({ client, params: { Bucket, Key: 'sdk/large', Body } }).done()
  assert.equal(await getHash(cluster.client(1), Bucket, 'sdk/large'), largeHash)
  await client.send(new PutObjectCommand({ Bucket, Key: 'sdk/one', Body: 'one' }))
  const names = Array.from(
    { length: smallFiles },
    (_, i) => `sdk/many/${String(i).padStart(4, '0')}`,
  )
  for (let i = 0; i < names.length; i += 50) {
    const batch = names.slice(i, i + 50)
    await Promise.all(
      batch.map((Key) => client.send(new PutObjectCommand({ Bucket, Key, Body: Key }))),
    )
  }
  const listed: string[] = []
  let ContinuationToken: string | undefined
  do {
    const page = await cluster
      .client(2)
      .send(
        new ListObjectsV2Command({ Bucket, Prefix: 'sdk/many/', ContinuationToken, MaxKeys: 300 }),
      )
    listed.push(...(page.Contents ?? []).map(({ Key }) => Key ?? ''))
    ContinuationToken = page.NextContinuationToken
  } while (ContinuationToken !== undefined)
  assert.deepEqual(listed, names)
  const url = await getSignedUrl(client, new GetObjectCommand({ Bucket, Key: 'sdk/one' }), {
    expiresIn: 60,
  })
  assert.equal(await (await fetch(url)).text(), 'one')
}

test('AWS CLI', async (t) => {
  if (!(await hasCommand('aws'))) return t.skip('aws is not installed')
  const s3 = ['--endpoint-url', cluster.node(1).s3, 's3']
  await succeed('aws', [...s3, 'mb', 's3://cli'])
  await succeed('aws', [...s3, 'cp', '--quiet', 'large.bin', 's3://cli/large.bin'])
  await succeed('aws', [...s3, 'cp', '--quiet', 's3://cli/large.bin', 'cli.bin'])
  assert.equal(fileHash(join(work, 'cli.bin')), largeHash)
  await succeed('aws', [...s3, 'sync', '--quiet', 'small', 's3://cli/small'])
  await succeed('aws', [...s3, 'sync', '--quiet', 's3://cli/small', 'cli-small'])
  assert.equal(treeHash(join(work, 'cli-small')), smallHash)
  await succeed('aws', [...s3, 'rb', '--force', 's3://cli'])
})

test('boto3', async (t) => {
  const probe = await run('python3', ['-c', 'import boto3'])
  if (probe.status !== 0) return t.skip('boto3 is not installed')
  const script = `
import boto3, hashlib, io, os
s3 = boto3.client('s3', endpoint_url='${cluster.node(2).s3}')
s3.create_bucket(Bucket='boto')
s3.upload_file('large.bin', 'boto', 'large')
out = io.BytesIO()
s3.download_fileobj('boto', 'large', out)
assert hashlib.sha256(out.getvalue()).hexdigest() == '${largeHash}'
s3.put_object(Bucket='boto', Key='a', Body=b'1', Metadata={'color': 'blue'}, ContentType='text/x')
head = s3.head_object(Bucket='boto', Key='a')
assert head['Metadata'] == {'color': 'blue'} and head['ContentType'] == 'text/x'
# As a header: older releases do not know the parameter IfNoneMatch.
def only_new(params, **others):
    params['headers']['If-None-Match'] = '*'
s3.meta.events.register('before-call.s3.PutObject', only_new)
try:
    s3.put_object(Bucket='boto', Key='a', Body=b'2')
    raise SystemExit('a second writer won')
except s3.exceptions.ClientError as error:
    assert error.response['Error']['Code'] == 'PreconditionFailed', error.response
s3.copy_object(Bucket='boto', Key='b', CopySource={'Bucket': 'boto', 'Key': 'a'})
assert s3.get_object(Bucket='boto', Key='b', Range='bytes=0-0')['Body'].read() == b'1'
s3.delete_objects(Bucket='boto', Delete={'Objects': [{'Key': key} for key in ('a', 'b', 'large')]})
s3.delete_bucket(Bucket='boto')
`
  await succeed('python3', ['-c', script])
})

test('s3cmd', async (t) => {
  if (!(await hasCommand('s3cmd'))) return t.skip('s3cmd is not installed')
  const { host } = new URL(cluster.node(0).s3)
  const base = [
    '--no-ssl',
    `--host=${host}`,
    `--host-bucket=${host}`,
    '--no-progress',
    '--quiet',
    `--access_key=${cluster.line.accessKeyId}`,
    `--secret_key=${cluster.line.secretAccessKey}`,
    `--region=${cluster.line.region}`,
    '--config=/dev/null',
  ]
  await succeed('s3cmd', [...base, 'mb', 's3://s3cmd'])
  await succeed('s3cmd', [...base, 'put', 'large.bin', 's3://s3cmd/large.bin'])
  await succeed('s3cmd', [...base, 'get', 's3://s3cmd/large.bin', 's3cmd.bin'])
  assert.equal(fileHash(join(work, 's3cmd.bin')), largeHash)
  const listed = await succeed('s3cmd', [
    ...base.filter((arg) => arg !== '--quiet'),
    'ls',
    's3://s3cmd',
  ])
  assert.match(listed, /large\.bin/)
})

test('rclone', async (t) => {
  if (!(await hasCommand('rclone'))) return t.skip('rclone is not installed')
  const remote = {
    RCLONE_CONFIG: '/dev/null',
    RCLONE_CONFIG_ATOLL_TYPE: 's3',
    RCLONE_CONFIG_ATOLL_PROVIDER: 'Other',
    RCLONE_CONFIG_ATOLL_ENDPOINT: cluster.node(1).s3,
    RCLONE_CONFIG_ATOLL_ACCESS_KEY_ID: cluster.line.accessKeyId,
    RCLONE_CONFIG_ATOLL_SECRET_ACCESS_KEY: cluster.line.secretAccessKey,
    RCLONE_CONFIG_ATOLL_REGION: cluster.line.region,
  }
  await succeed('rclone', ['copy', 'large.bin', 'atoll:rclone'], remote)
  await succeed('rclone', ['copy', 'small', 'atoll:rclone/small', '--transfers', '16'], remote)
  await succeed('rclone', ['check', 'small', 'atoll:rclone/small', '--download'], remote)
  await succeed('rclone', ['copy', 'atoll:rclone/large.bin', 'rclone-out'], remote)
  assert.equal(fileHash(join(work, 'rclone-out', 'large.bin')), largeHash)
})

test('restic backs up and restores', async (t) => {
  if (!(await hasCommand('restic'))) return t.skip('restic is not installed')
  const repository = {
    RESTIC_REPOSITORY: `s3:${cluster.node(2).s3}/restic`,
    RESTIC_PASSWORD: 'test',
    RESTIC_CACHE_DIR: join(work, 'restic-cache'),
  }
  await succeed('restic', ['init', '--quiet'], repository)
  await succeed('restic', ['backup', '--quiet', 'small', 'large.bin'], repository)
  await succeed('restic', ['check', '--quiet', '--read-data'], repository)
  await succeed('restic', ['restore', 'latest', '--quiet', '--target', 'restored'], repository)
  assert.equal(treeHash(join(work, 'restored', 'small')), smallHash)
  assert.equal(fileHash(join(work, 'restored', 'large.bin')), largeHash)
})
