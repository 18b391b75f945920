// What can be done to nodes and to machines that wait: the question before it, and the request.

import type { Enrolment } from '../answers.ts'
import { change } from '../api.ts'
import { keyWords } from '../format.ts'
import type { TextEdit } from '../parts/text-dialog.tsx'

export type Act = {
  readonly title: string
  readonly says: string
  /** On the button. */
  readonly confirm: string
  readonly isDangerous?: boolean
  /** The line that it is asked for at is gone afterwards. */
  readonly isLast?: boolean
  readonly run: (isForced: boolean) => Promise<unknown>
}

type Target = { readonly id: number; readonly name: string }

const force = (isForced: boolean) => (isForced ? { force: true } : {})

export const drain = ({ id, name }: Target): Act => ({
  title: `Drain ${name}?`,
  says: 'Its shards, leaderships and votes are moved to the other nodes, at the pace set for moves. It serves until then, and can be removed afterwards without loss. It can be called off.',
  confirm: 'Drain',
  run: (isForced) => change('POST', '/v1/members/drain', { id, ...force(isForced) }),
})

export const cancelDrain = ({ id, name }: Target): Act => ({
  title: `Keep ${name}?`,
  says: 'The drain is called off. What has moved already stays where it is and is balanced later.',
  confirm: 'Keep the node',
  run: () => change('POST', '/v1/members/drain', { id, cancel: true }),
})

export const remove = ({ id, name }: Target): Act => ({
  title: `Remove ${name}?`,
  says: 'It stops being a member for good: its certificates are refused at once, and it can only come back as a new node. Drain it first, so that nothing is lost.',
  confirm: 'Remove',
  isDangerous: true,
  isLast: true,
  run: (isForced) => change('POST', '/v1/members/remove', { id, ...force(isForced) }),
})

export const capabilities = ({
  id,
  name,
  caps,
}: Target & { readonly caps: readonly string[] }): TextEdit => ({
  title: `Capabilities of ${name}`,
  says: 'Services start and end on the node at once. Who has the capability control keeps it.',
  label: 'Capabilities, separated by commas',
  hint: 'Empty: all there is. For example control, s3, etcd, sql.',
  value: caps.join(', '),
  confirm: 'Save',
  save(text) {
    const names = text.split(',').map((one) => one.trim())
    return change('PUT', `/cluster/nodes/${id}/caps`, { caps: names.filter((one) => one !== '') })
  },
})

export const readdress = ({
  id,
  name,
  address,
}: Target & { readonly address: string }): TextEdit => ({
  title: `Address of ${name}`,
  says: 'For a machine that has moved: stop its node first. The other members look for it there from now on; on the machine itself, `atoll admin readdress` tells it where to listen.',
  label: 'Address or name of the machine',
  value: hostOf(address),
  confirm: 'Change',
  save: (host) => change('POST', '/v1/members/readdress', { id, host }),
})

function hostOf(address: string): string {
  return address.replace(/:[0-9]+$/, '').replaceAll(/[[\]]/g, '')
}

const enrolmentPath = ({ fingerprint }: Enrolment): string =>
  `/v1/enrolments/${encodeURIComponent(fingerprint)}`

export const approve = (enrolment: Enrolment): Act => ({
  title: `Let ${enrolment.name} in?`,
  says: `The machine with the key ${keyWords(enrolment.fingerprint)} (${enrolment.fingerprint}) becomes a member: it gets certificates and the cluster's settings, and data is placed on it. Compare the key with what the machine shows.`,
  confirm: 'Let it in',
  isLast: true,
  run: () => change('POST', `${enrolmentPath(enrolment)}/approve`),
})

export const reject = (enrolment: Enrolment): Act => ({
  title: `Turn ${enrolment.name} away?`,
  says: 'The machine is told so and gets nothing. It can ask again with another token.',
  confirm: 'Turn away',
  isDangerous: true,
  isLast: true,
  run: () => change('POST', `${enrolmentPath(enrolment)}/reject`),
})

export const setShare = (share: number): Act => ({
  title: `Let moves use ${Math.round(share * 100)} %?`,
  says:
    share > 0.5
      ? 'Drains and balancing get done sooner; clients may wait longer meanwhile.'
      : 'Drains and balancing take longer; clients notice less of them.',
  confirm: 'Set',
  run: () => change('POST', '/v1/moves', { share }),
})
