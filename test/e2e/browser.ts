// Chromium for tests of pages. Debian's, or the one that ATOLL_CHROMIUM names; without one the tests are skipped and say so.
//
// The nodes' certificates are of the cluster's own authority, which this browser does not know: it is told not to mind.

import { existsSync } from 'node:fs'
import {
  type Browser,
  type BrowserContext,
  chromium,
  type Locator,
  type Page,
} from 'playwright-core'

export const waitMs = 60_000

const candidates = [
  process.env.ATOLL_CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
]
const browserPath = candidates.find((path) => path !== undefined && existsSync(path))
export const withoutBrowser =
  browserPath === undefined ? 'no Chromium here: install it, or name it by ATOLL_CHROMIUM' : false

export type Look = {
  readonly width?: number
  readonly height?: number
  readonly colours?: 'light' | 'dark'
}

/** One browser with pages that share nothing, and everything that pages complained of. */
export class Pages {
  readonly complaints: string[] = []
  readonly #contexts: BrowserContext[] = []
  #browser: Browser | undefined

  async start(): Promise<void> {
    this.#browser = await chromium.launch({
      executablePath: browserPath ?? '',
      // Root, as in a container, has no sandbox to give.
      args: [...(process.getuid?.() === 0 ? ['--no-sandbox'] : []), '--disable-gpu'],
    })
  }

  /** `isHostile`: it is expected to complain. */
  async open(look: Look = {}, { isHostile = false } = {}): Promise<Page> {
    const { width = 1200, height = 900, colours = 'light' } = look
    const context = await this.#browser?.newContext({
      ignoreHTTPSErrors: true,
      viewport: { width, height },
      colorScheme: colours,
      reducedMotion: 'reduce',
    })
    if (context === undefined) throw new Error('the browser was not started')
    this.#contexts.push(context)
    const page = await context.newPage()
    page.setDefaultTimeout(waitMs)
    if (!isHostile) this.#listen(page)
    return page
  }

  async stop(): Promise<void> {
    for (const context of this.#contexts) await context.close()
    await this.#browser?.close()
  }

  #listen(page: Page): void {
    page.on('pageerror', (error) => this.complaints.push(error.message))
    page.on('console', (message) => {
      // What the content policy forbids is told here; answers that are failures are expected.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
        this.complaints.push(message.text())
      }
    })
  }
}

export async function logIn(
  page: Page,
  console: string,
  { operator = 'admin', password }: { readonly operator?: string; readonly password: string },
): Promise<void> {
  await page.goto(console)
  await page.getByLabel('Operator').fill(operator)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor()
}

const pressesMax = 80

/** Presses Tab until the focus is there. Fails when it never comes there, or cannot be seen on the way. */
export async function tabTo(page: Page, wanted: Locator): Promise<void> {
  await wanted.waitFor()
  const passed: string[] = []
  for (let presses = 0; presses < pressesMax; presses++) {
    await page.keyboard.press('Tab')
    const seen = (await page.evaluate(`(() => {
      const at = document.activeElement
      if (at === null || at === document.body) return undefined
      const { outlineStyle, outlineWidth } = getComputedStyle(at)
      const isShown = outlineStyle !== 'none' && parseFloat(outlineWidth) > 0
      return { name: at.getAttribute('aria-label') ?? at.textContent ?? at.tagName, isShown }
    })()`)) as { name: string; isShown: boolean } | undefined
    if (seen?.isShown === false) throw new Error(`the focus cannot be seen on ${seen.name}`)
    passed.push(seen?.name ?? '-')
    if (await wanted.evaluate((node) => node === node.ownerDocument.activeElement)) return
  }
  throw new Error(`Tab never came to ${wanted}: ${passed.join(' | ')}`)
}

/**
 * What sticks out of the page on the right, and texts whose colour is too like their ground (WCAG 2.2, 1.4.3: a ratio of
 * 4.5, 3 for large ones). Empty when all is well.
 */
export async function flawsOf(page: Page): Promise<readonly string[]> {
  return (await page.evaluate(findFlaws)) as readonly string[]
}

/** Runs in the page. */
const findFlaws = `(() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true })
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1)
    canvas.fillStyle = colour
    canvas.fillRect(0, 0, 1, 1)
    return [...canvas.getImageData(0, 0, 1, 1).data]
  }
  const over = (front, back) => {
    const share = front[3] / 255
    return [0, 1, 2].map((at) => front[at] * share + back[at] * (1 - share)).concat(255)
  }
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((value) => {
      const part = value / 255
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const groundOf = (node) => {
    const layers = []
    for (let at = node; at !== null; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor))
    return layers.reverse().reduce((back, front) => over(front, back), [255, 255, 255, 255])
  }
  const flaws = []
  const width = document.documentElement.clientWidth
  if (document.documentElement.scrollWidth > width) flaws.push('the page is ' + document.documentElement.scrollWidth + ' wide')
  for (const node of document.body.querySelectorAll('*')) {
    const box = node.getBoundingClientRect()
    const style = getComputedStyle(node)
    if (box.width <= 1 || box.height <= 1 || style.visibility === 'hidden') continue
    const text = [...node.childNodes].filter((one) => one.nodeType === 3).map((one) => one.textContent.trim()).join(' ').trim()
    const name = node.tagName + ' ' + (text || node.className).toString().slice(0, 40)
    if (box.right > width + 1) flaws.push(name + ' ends at ' + Math.round(box.right))
    if (text === '' || node.closest(':disabled, option, noscript, .skip') !== null) continue
    if (!node.checkVisibility({ opacityProperty: true })) continue
    const ground = groundOf(node)
    const [a, b] = [light(over(rgba(style.color), ground)), light(ground)].sort((x, y) => y - x)
    const ratio = (a + 0.05) / (b + 0.05)
    const size = parseFloat(style.fontSize)
    const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5
    if (ratio < least) flaws.push(name + ' has the contrast ' + ratio.toFixed(2))
  }
  return flaws
})()`
