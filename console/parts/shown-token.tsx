// A token that was just made, the one time that it is told: to copy, to scan, as the command for the machine, and as a bootstrap
// file. What the machine is called and where it is can be filled in, and stands in the command then.

import { useEffect, useRef, useState } from 'react'
import type { Token } from '../answers.ts'
import { QrCode } from './qr-code.tsx'
import { Copy, Moment } from './small.tsx'

export type MadeToken = { readonly token: string; readonly view: Token }

type Machine = {
  readonly name: string
  readonly zone: string
  readonly address: string
  readonly directory: string
}

const inputs: readonly (readonly [field: keyof Machine, label: string, placeholder: string])[] = [
  ['name', 'Its name', 'n4'],
  ['zone', 'Its zone', 'a'],
  ['address', 'Its address', '10.0.0.4'],
  ['directory', 'Its directory', '/var/lib/atoll'],
]

export function ShownToken({
  made,
  region,
}: {
  readonly made: MadeToken
  readonly region: string | undefined
}) {
  const { token, view } = made
  const [machine, setMachine] = useState<Machine>({
    name: view.name ?? '',
    zone: '',
    address: '',
    directory: '',
  })
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    heading.current?.scrollIntoView({ block: 'nearest' })
  }, [])
  const asked = { ...made, region: region ?? 'REGION', host: location.host }
  const command = commandOf(machine, asked)
  const file = bootstrapOf(machine, asked)
  return (
    <section className="card made" aria-live="polite">
      <h2 ref={heading}>Token {view.id}</h2>
      <p className="notice warn">
        It is shown this once. Whoever has it can bring{' '}
        {view.uses === 1 ? 'a machine' : `${view.uses} machines`} in; it ends{' '}
        <Moment atMs={view.expiresMs} />.
      </p>
      <div className="made-parts">
        <div>
          <p className="copied">
            <code data-testid="token">{token}</code>
            <Copy text={token} what="the token" />
          </p>
          <fieldset>
            <legend>For the command: the machine</legend>
            {inputs.map(([field, label, placeholder]) => (
              <label key={field}>
                {label}
                <input
                  value={machine[field]}
                  placeholder={placeholder}
                  maxLength={253}
                  autoCapitalize="none"
                  spellCheck={false}
                  onChange={(event) =>
                    setMachine({ ...machine, [field]: event.target.value.trim() })
                  }
                />
              </label>
            ))}
          </fieldset>
        </div>
        <figure>
          <QrCode text={token} label={`Token ${view.id} as a QR code`} />
          <figcaption className="faint">The token, to scan</figcaption>
        </figure>
      </div>
      <h3>On the machine</h3>
      <div className="command">
        <pre data-testid="command">
          <code>{command}</code>
        </pre>
        <Copy text={command} what="the command" />
      </div>
      <details>
        <summary>As a bootstrap file, for a machine that starts without a person</summary>
        <p className="faint">
          As <code>bootstrap.json</code> in its directory, readable by its owner only; then{' '}
          <code>atoll start --data-dir {word(machine.directory, 'DIRECTORY')}</code>.
        </p>
        <div className="command">
          <pre data-testid="bootstrap">
            <code>{file}</code>
          </pre>
          <Copy text={file} what="the bootstrap file" />
        </div>
      </details>
    </section>
  )
}

type Asked = MadeToken & { readonly region: string; readonly host: string }

/** For a shell: what is not plain is quoted. */
function word(text: string, otherwise: string): string {
  if (text === '') return otherwise
  return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

function commandOf(machine: Machine, { token, region, host }: Asked): string {
  const name = word(machine.name, 'NAME')
  return [
    `atoll admin join --region ${word(region, 'REGION')} --az ${word(machine.zone, 'ZONE')} --node ${name}`,
    `--host ${host} --bind ${word(machine.address, 'ADDRESS')} --data-dir ${word(machine.directory, 'DIRECTORY')}`,
    `--token ${token}`,
  ].join(' \\\n  ')
}

function bootstrapOf(machine: Machine, { token, region, host }: Asked): string {
  const file = {
    controllers: [`https://${host}`],
    token,
    name: machine.name || 'NAME',
    bind: machine.address || 'ADDRESS',
    region,
    zone: machine.zone || 'ZONE',
  }
  return JSON.stringify(file, null, 2)
}
