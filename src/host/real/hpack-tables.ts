// The tables of HPACK: the static table (RFC 7541, appendix A) and its Huffman code (appendix B). That code is
// canonical: codes of one length follow each other in the order of their symbols, so the lengths say everything.

/** Entry 1 comes first. */
export const staticFields: readonly (readonly [string, string])[] = [
  [':authority', ''],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  [':status', '200'],
  [':status', '204'],
  [':status', '206'],
  [':status', '304'],
  [':status', '400'],
  [':status', '404'],
  [':status', '500'],
  ['accept-charset', ''],
  ['accept-encoding', 'gzip, deflate'],
  ...[
    ...['accept-language', 'accept-ranges', 'accept', 'access-control-allow-origin', 'age'],
    ...['allow', 'authorization', 'cache-control', 'content-disposition', 'content-encoding'],
    ...['content-language', 'content-length', 'content-location', 'content-range'],
    ...['content-type', 'cookie', 'date', 'etag', 'expect', 'expires', 'from', 'host', 'if-match'],
    ...['if-modified-since', 'if-none-match', 'if-range', 'if-unmodified-since', 'last-modified'],
    ...['link', 'location', 'max-forwards', 'proxy-authenticate', 'proxy-authorization', 'range'],
    ...['referer', 'refresh', 'retry-after', 'server', 'set-cookie', 'strict-transport-security'],
    ...['transfer-encoding', 'user-agent', 'vary', 'via', 'www-authenticate'],
  ].map((name) => [name, ''] as const),
]

/** The symbol that ends a string; it is never sent, only its leading ones pad the last byte. */
const endOfString = 256

/** Bits of each symbol's code; the last is the end's. */
const codeBits: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
  28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5,
  6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6,
  7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23,
  23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22,
  22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22,
  23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27,
  27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25,
  24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
]

/**
 * The code as a tree: node n has its successors at 2n (bit 0) and 2n + 1 (bit 1). A positive entry is a node, a
 * negative one the complement of a symbol. Node 0 is the root.
 */
function growTree(): Int16Array {
  const tree = new Int16Array(2 * codeBits.length)
  let nodes = 1
  const place = (symbol: number, code: number, bits: number): void => {
    let node = 0
    for (let bit = bits - 1; bit > 0; bit--) {
      const at = 2 * node + ((code >>> bit) & 1)
      if (tree[at] === 0) tree[at] = nodes++
      node = tree[at] as number
    }
    tree[2 * node + (code & 1)] = ~symbol
  }
  const symbols = [...codeBits.keys()].sort((a, b) => bitsOf(a) - bitsOf(b) || a - b)
  let code = 0
  let bitsBefore = bitsOf(symbols[0] as number)
  for (const symbol of symbols) {
    code <<= bitsOf(symbol) - bitsBefore
    bitsBefore = bitsOf(symbol)
    place(symbol, code++, bitsBefore)
  }
  return tree
}

function bitsOf(symbol: number): number {
  return codeBits[symbol] as number
}

const tree = growTree()
const paddingBitsMax = 7

/**
 * Latin-1 text of the coded bytes [start, end); undefined when they are not a string of the code: the end inside,
 * padding of more than seven bits or with a zero (RFC 7541, 5.2).
 */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number): string | undefined {
  // The shortest code has five bits.
  const text = Buffer.allocUnsafe(Math.ceil(((end - start) * 8) / 5))
  let length = 0
  let node = 0
  let bitsOpen = 0
  let areOnes = true
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number
    for (let bit = 7; bit >= 0; bit--) {
      const one = (byte >>> bit) & 1
      const next = tree[2 * node + one] as number
      bitsOpen++
      areOnes &&= one === 1
      if (next > 0) {
        node = next
        continue
      }
      if (~next === endOfString) return undefined
      text[length++] = ~next
      node = 0
      bitsOpen = 0
      areOnes = true
    }
  }
  if (bitsOpen > paddingBitsMax || !areOnes) return undefined
  return text.toString('latin1', 0, length)
}
