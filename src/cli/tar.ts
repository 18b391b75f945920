// Archives in the form that every system unpacks: ustar (POSIX.1-1988, IEEE Std 1003.1, "pax" chapter). Names of up to
// 100 bytes, or of up to 256 that can be split at a slash; sizes below 8 GiB; owner root, so that nothing of the machine
// where an archive was made shows.
//
//   header (512): name 100 | mode 8 | uid 8 | gid 8 | size 12 | mtime 12 | checksum 8 | type 1 | link 100 | 'ustar\0' '00'
//                 | owner 32 | group 32 | device 8 + 8 | prefix 155 | zeros 12;   numbers are octal digits and a zero byte
//   content, filled with zeros to a multiple of 512;   at the end 1,024 zeros

import { Fault, utf8Encode } from '../base/index.ts'

export type TarEntry = {
  /** Relative, with '/'. */
  readonly path: string
  readonly mode: number
  /** Seconds since 1970. */
  readonly modifiedSeconds: number
} & (
  | { readonly kind: 'file'; readonly bytes: Uint8Array }
  | { readonly kind: 'directory' }
  | { readonly kind: 'link'; readonly target: string }
)

const blockBytes = 512
const nameBytesMax = 100
const prefixBytesMax = 155
const typeFlags = { file: '0', link: '2', directory: '5' } as const

/** The archive in pieces, in the order of the entries. Fault 'invalid' for a name that has no place. */
export function* tarOf(entries: Iterable<TarEntry>): Generator<Uint8Array> {
  for (const entry of entries) {
    yield headerOf(entry)
    if (entry.kind !== 'file' || entry.bytes.length === 0) continue
    yield entry.bytes
    const rest = entry.bytes.length % blockBytes
    if (rest > 0) yield new Uint8Array(blockBytes - rest)
  }
  yield new Uint8Array(2 * blockBytes)
}

function headerOf(entry: TarEntry): Uint8Array {
  const header = new Uint8Array(blockBytes)
  const put = (at: number, text: string): void => header.set(utf8Encode(text), at)
  const octal = (at: number, width: number, value: number): void =>
    put(at, value.toString(8).padStart(width - 1, '0'))
  const { name, prefix } = splitPath(entry.kind === 'directory' ? `${entry.path}/` : entry.path)
  const link = entry.kind === 'link' ? entry.target : ''
  if (utf8Encode(link).length > nameBytesMax) throw tooLong(link)
  put(0, name)
  octal(100, 8, entry.mode)
  octal(108, 8, 0)
  octal(116, 8, 0)
  octal(124, 12, entry.kind === 'file' ? entry.bytes.length : 0)
  octal(136, 12, entry.modifiedSeconds)
  put(156, typeFlags[entry.kind])
  put(157, link)
  put(257, 'ustar')
  put(263, '00')
  put(265, 'root')
  put(297, 'root')
  put(345, prefix)
  // Its own field counts as spaces.
  put(148, '        ')
  const sum = header.reduce((total, byte) => total + byte, 0)
  put(148, `${sum.toString(8).padStart(6, '0')}\0 `)
  return header
}

function splitPath(path: string): { readonly name: string; readonly prefix: string } {
  if (utf8Encode(path).length <= nameBytesMax) return { name: path, prefix: '' }
  for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) {
    const [prefix, name] = [path.slice(0, at), path.slice(at + 1)]
    const fits = utf8Encode(prefix).length <= prefixBytesMax
    if (fits && name !== '' && utf8Encode(name).length <= nameBytesMax) return { name, prefix }
  }
  throw tooLong(path)
}

function tooLong(path: string): Fault {
  return new Fault('invalid', `the name ${path} is too long for an archive`)
}
