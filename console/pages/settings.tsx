// What runs where and how it is set; every setting with who changed it, and the way back to any version before.

import { useState } from 'react'
import type { Config, ConfigVersion, Capability } from '../answers.ts'
import { change } from '../api.ts'
import { Dialog } from '../parts/dialog.tsx'
import { Empty, Shown } from '../parts/notices.tsx'
import { Moment } from '../parts/small.tsx'
import { TextDialog, type TextEdit } from '../parts/text-dialog.tsx'
import { usePolled } from '../polled.ts'

const everyMs = 5_000

export function Settings({ mayChange }: { readonly mayChange: boolean }) {
  const services = usePolled<{ readonly services: readonly Capability[] }>('/v1/services', everyMs)
  const history = usePolled<{ readonly versions: readonly ConfigVersion[] }>(
    '/v1/config/history',
    everyMs,
  )
  const now = usePolled<ConfigVersion>('/v1/config', everyMs)
  const [edit, open] = useState<TextEdit>()
  const [back, goBack] = useState<ConfigVersion>()
  const again = (): void => {
    for (const polled of [services, history, now]) polled.again()
  }
  return (
    <>
      <Shown polled={services} what="the services">
        {(value) => <Services services={value.services} open={mayChange ? open : undefined} />}
      </Shown>
      <Shown polled={now} what="the settings">
        {({ config }) => <ClusterSettings config={config} open={mayChange ? open : undefined} />}
      </Shown>
      <Shown polled={history} what="the history">
        {({ versions }) => <History versions={versions} goBack={mayChange ? goBack : undefined} />}
      </Shown>
      {edit === undefined ? null : (
        <TextDialog
          key={edit.title}
          edit={edit}
          onClose={() => open(undefined)}
          onChanged={again}
        />
      )}
      {back === undefined ? null : (
        <Dialog
          title={`Back to version ${back.version}?`}
          confirm="Go back"
          onClose={() => goBack(undefined)}
          onConfirm={async () => {
            await change('POST', '/v1/config/rollback', { version: back.version })
            again()
          }}
        >
          <p>
            Its settings become the newest version and take effect on every node at once. No version
            is lost by that.
          </p>
        </Dialog>
      )}
    </>
  )
}

type Open = ((edit: TextEdit) => void) | undefined

/** As people type it: a number and true or false are no texts. */
function parse(text: string): unknown {
  if (text === '') return undefined
  if (text === 'true' || text === 'false') return text === 'true'
  return /^-?[0-9]+$/.test(text) ? Number(text) : text
}

const setting = (name: string, value: unknown): TextEdit => ({
  title: `Change ${name}?`,
  says: 'It takes effect on every node at once.',
  label: name,
  hint: 'Empty: back to its default.',
  value: shown(value),
  confirm: 'Change',
  save: (text) => change('PUT', '/v1/config', { name, value: parse(text) }),
})

function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function Value({
  name,
  value,
  open,
}: {
  readonly name: string
  readonly value: unknown
  readonly open: Open
}) {
  const text = shown(value)
  return (
    <>
      {text === '' ? <span className="faint">none</span> : <code>{text}</code>}{' '}
      {open === undefined ? null : (
        <button
          type="button"
          className="small"
          aria-label={`Change ${name}`}
          onClick={() => open(setting(name, value))}
        >
          Change
        </button>
      )}
    </>
  )
}

function Services({
  services,
  open,
}: {
  readonly services: readonly Capability[]
  readonly open: Open
}) {
  return (
    <section>
      <h2>Services</h2>
      <table className="rows">
        <thead>
          <tr>
            <th scope="col">Service</th>
            <th scope="col">Runs on</th>
            <th scope="col">Settings</th>
          </tr>
        </thead>
        <tbody>
          {services.map((row) => (
            <tr key={row.name}>
              <th scope="row">
                {row.name}
                <br />
                <span className="faint">{row.about}</span>
              </th>
              <td data-label="Runs on">{placesOf(row)}</td>
              <td data-label="Settings">
                <ul className="settings">
                  {Object.entries(row.settings).map(([field, value]) => (
                    <li key={field}>
                      {field}: <Value name={`${row.name}.${field}`} value={value} open={open} />
                    </li>
                  ))}
                </ul>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}

function placesOf({ isHere, nodes }: Capability): string {
  if (!isHere) return 'not in this version'
  const running = nodes.filter(({ runs }) => runs === true).map(({ name }) => name)
  const silent = nodes
    .filter(({ runs }) => runs === undefined)
    .map(({ name }) => `${name} (not told)`)
  return [...running, ...silent].join(', ') || 'no node'
}

function ClusterSettings({ config, open }: { readonly config: Config; readonly open: Open }) {
  const rows: readonly (readonly [name: string, about: string, value: unknown])[] = [
    ['target_size', 'How many members it is meant to have', config.targetSize],
    ['members_max', 'How many it takes at most', config.membersMax],
    [
      'approval',
      'Who lets machines in that show a token: automatic, or an operator',
      config.approval,
    ],
    ['certificate_seconds', 'How long certificates of members live', config.certificateSeconds],
  ]
  return (
    <section>
      <h2>Cluster</h2>
      <table className="rows">
        <thead>
          <tr>
            <th scope="col">Setting</th>
            <th scope="col">Value</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, about, value]) => (
            <tr key={name}>
              <th scope="row">
                {name}
                <br />
                <span className="faint">{about}</span>
              </th>
              <td data-label="Value">
                <Value name={name} value={value} open={open} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}

function History({
  versions,
  goBack,
}: {
  readonly versions: readonly ConfigVersion[]
  readonly goBack: ((version: ConfigVersion) => void) | undefined
}) {
  return (
    <section>
      <h2>History</h2>
      {versions.length === 0 ? (
        <Empty>Nothing was ever changed: everything is at its default.</Empty>
      ) : (
        <table className="rows">
          <thead>
            <tr>
              <th scope="col">Version</th>
              <th scope="col">Changed</th>
              <th scope="col">By</th>
              <th scope="col">When</th>
              <th scope="col">
                <span className="hidden">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {versions.map((one, at) => (
              <tr key={one.version}>
                <th scope="row">Version {one.version}</th>
                <td className="long">{differenceOf(versions[at + 1]?.config, one.config)}</td>
                <td>{one.changedBy}</td>
                <td>
                  <Moment atMs={one.changedMs} />
                </td>
                <td className="actions">
                  {at === 0 || goBack === undefined ? null : (
                    <button
                      type="button"
                      aria-label={`Back to version ${one.version}`}
                      onClick={() => goBack(one)}
                    >
                      Go back
                    </button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  )
}

/** What this version has that the one before had not. */
function differenceOf(before: Config | undefined, after: Config): string {
  const flat = (config: Config | undefined): ReadonlyMap<string, string> => {
    if (config === undefined) return new Map()
    const { services, ...own } = config
    const ofServices = Object.entries(services).flatMap(([name, fields]) =>
      Object.entries(fields).map(([field, value]) => [`${name}.${field}`, shown(value)] as const),
    )
    return new Map([
      ...Object.entries(own).map(([name, value]) => [name, shown(value)] as const),
      ...ofServices,
    ])
  }
  const [was, is] = [flat(before), flat(after)]
  const changed = [...is].filter(([name, value]) => was.get(name) !== value)
  const gone = [...was.keys()].filter((name) => !is.has(name))
  const words = [
    ...changed.map(([name, value]) => `${name} = ${value}`),
    ...gone.map((name) => `${name} at its default`),
  ]
  return words.join(', ') || 'nothing'
}
