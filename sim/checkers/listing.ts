// One page of a bucket's list against the rules of paging (S3: ListObjects, ListObjectsV2): names in
// order, none twice, none outside of what was asked for, and what a page thereby says of keys that it
// does not show.

export type ListQuestion = {
  readonly prefix: string
  readonly delimiter: string
  /** Exclusive. */
  readonly after: string
  readonly limit: number
}
export type ListedObject = {
  readonly key: string
  readonly etag: string
  readonly size: number
}
export type ListAnswer = {
  readonly objects: readonly ListedObject[]
  readonly prefixes: readonly string[]
  readonly isTruncated: boolean
}

/** Why the page cannot be an answer to the question, whatever the bucket holds; undefined when it can. */
export function problemOfPage(question: ListQuestion, answer: ListAnswer): string | undefined {
  const { prefix, delimiter, after, limit } = question
  const keys = answer.objects.map(({ key }) => key)
  const shown = [...keys, ...answer.prefixes]
  if (shown.length > limit) return `${shown.length} names on a page of ${limit}`
  if (answer.isTruncated && shown.length === 0) return 'an empty page says that more follows'
  if (!isAscending(keys) || !isAscending(answer.prefixes)) return 'names are not in order'
  for (const name of shown) {
    if (!name.startsWith(prefix)) return `${name} does not start with ${prefix}`
    if (name <= after) return `${name} is not after ${after}`
  }
  const folded = keys.find((key) => nameOf(key, question) !== key)
  if (folded !== undefined) return `${folded} is shown and belongs to a common prefix`
  const odd = answer.prefixes.find((one) => {
    return delimiter === '' || !one.endsWith(delimiter) || nameOf(one, question) !== one
  })
  return odd === undefined ? undefined : `${odd} is no common prefix`
}

/** The name that stands for the key on a page: itself or its common prefix. */
export function nameOf(
  key: string,
  { prefix, delimiter }: Pick<ListQuestion, 'prefix' | 'delimiter'>,
): string {
  const at = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length)
  return at < 0 ? key : key.slice(0, at + delimiter.length)
}

/** The last name of a page: the next one begins after it. '' when it shows none. */
export function lastName(answer: ListAnswer): string {
  const key = answer.objects.at(-1)?.key ?? ''
  const prefix = answer.prefixes.at(-1) ?? ''
  return [key, prefix].sort()[1] as string
}

/** Whether the page would show the key, under its name, if it was there. */
export function isCovered(key: string, question: ListQuestion, answer: ListAnswer): boolean {
  if (!key.startsWith(question.prefix)) return false
  const name = nameOf(key, question)
  return name > question.after && (!answer.isTruncated || name <= lastName(answer))
}

function isAscending(names: readonly string[]): boolean {
  return names.every((name, at) => at === 0 || (names[at - 1] as string) < name)
}
