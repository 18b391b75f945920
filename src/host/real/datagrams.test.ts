import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isFault } from '../../base/index.ts'
import type { Address } from '../host.ts'
import { openDatagrams } from './datagrams.ts'

const group = '239.77.77.77'

test('a group is heard by all who share the port, and an answer reaches who asked', async (t) => {
  const heard: string[] = []
  const asking = Promise.withResolvers<readonly [string, Address]>()
  const listen = async (name: string, interfaceHost: string) => {
    const socket = await openDatagrams({
      port: 47_777,
      interfaceHost,
      group,
      onDatagram(bytes, from) {
        heard.push(`${name} ${Buffer.from(bytes).toString()}`)
        socket.send(new Uint8Array(Buffer.from(name)), from)
      },
    })
    return socket
  }
  try {
    const one = await listen('one', '127.0.0.1')
    const two = await listen('two', '127.0.0.2')
    const answers = new Set<string>()
    const asker = await openDatagrams({
      port: 0,
      interfaceHost: '127.0.0.3',
      onDatagram(bytes, from) {
        answers.add(Buffer.from(bytes).toString())
        if (answers.size === 2) asking.resolve([[...answers].sort().join(), from])
      },
    })
    asker.send(new Uint8Array(Buffer.from('who')), { host: group, port: 47_777 })
    const [answered] = await asking.promise
    assert.equal(answered, 'one,two')
    assert.deepEqual(heard.sort(), ['one who', 'two who'])
    for (const socket of [one, two, asker]) await socket.close()
  } catch (error) {
    if (isFault(error, 'unavailable')) t.skip(`no multicast on loopback: ${error.message}`)
    else throw error
  }
})

test('a port that somebody holds alone is refused by its number', async () => {
  const holder = await openDatagrams({
    port: 47_778,
    interfaceHost: '127.0.0.1',
    onDatagram: () => undefined,
  })
  const again = openDatagrams({
    port: 47_778,
    interfaceHost: '127.0.0.1',
    onDatagram: () => undefined,
  })
  await assert.rejects(again, (error) => isFault(error, 'exists') && error.fields.port === '47778')
  await holder.close()
})
