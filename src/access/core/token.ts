// Client tokens: 'ac1.<id>.<secret>', 16 and 32 characters. The id may be shown; of the secret only the SHA-256 is
// kept: 192 random bits need no slow hash.

const tokenPattern = /^ac1\.(?<id>[A-Z2-7]{16})\.(?<secret>[A-Za-z0-9_-]{32})$/

export const tokenIdCharacters = 16
export const tokenSecretCharacters = 32

export function parseToken(
  text: string,
): { readonly id: string; readonly secret: string } | undefined {
  const { id, secret } = tokenPattern.exec(text)?.groups ?? {}
  return id === undefined || secret === undefined ? undefined : { id, secret }
}

export function formatToken(id: string, secret: string): string {
  return `ac1.${id}.${secret}`
}
