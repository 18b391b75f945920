// XML out: S3's documents are flat, so a writer of escaped text is all that is needed. Element names come
// from this gateway only. Characters that XML 1.0 has no way to write (NUL and other controls, which
// are legal in keys) go out as numeric references, as S3 does; clients that ask for
// encoding-type=url never meet them.

const prolog = '<?xml version="1.0" encoding="UTF-8"?>\n'
const namespace = 'http://s3.amazonaws.com/doc/2006-03-01/'
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must be escaped
const unsafe = /[&<>"\u0000-\u001f\u007f-\u009f\ufffe\uffff]/
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must be escaped
const unsafeAll = /[&<>"\u0000-\u001f\u007f-\u009f\ufffe\uffff]/g

/** Escaped for element content. */
export function escapeXml(text: string): string {
  return unsafe.test(text) ? text.replace(unsafeAll, escapeCharacter) : text
}

function escapeCharacter(character: string): string {
  if (character === '&') return '&amp;'
  if (character === '<') return '&lt;'
  if (character === '>') return '&gt;'
  if (character === '"') return '&quot;'
  return `&#x${character.charCodeAt(0).toString(16).toUpperCase()};`
}

export class XmlWriter {
  #out: string

  /** `prolog` is left out where it has been sent already. */
  constructor(options: { readonly hasProlog?: boolean } = {}) {
    this.#out = options.hasProlog === false ? '' : prolog
  }

  /** The document's root element, in S3's namespace, with the text that it starts with. */
  root(name: string, content = ''): this {
    this.#out += `<${name} xmlns="${namespace}">${escapeXml(content)}`
    return this
  }

  open(name: string): this {
    this.#out += `<${name}>`
    return this
  }

  close(name: string): this {
    this.#out += `</${name}>`
    return this
  }

  text(name: string, value: string | number | boolean): this {
    const content = typeof value === 'string' ? escapeXml(value) : String(value)
    this.#out += `<${name}>${content}</${name}>`
    return this
  }

  /** Nothing for undefined. */
  maybeText(name: string, value: string | number | undefined): this {
    return value === undefined ? this : this.text(name, value)
  }

  finish(): string {
    return this.#out
  }
}

/** What precedes every document; sent alone by answers that keep their client waiting. */
export const xmlProlog = prolog
