/**
 * The status page in a real browser: nothing is asked from outside, no policy broken, nothing found
 * by an accessibility checker, everything reached by keyboard, and what others say is text. With
 * `PICTURES=FOLDER` it writes a picture of every scene there.
 *
 * @module
 */

import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import process from 'node:process'
import * as assert from 'uvu/assert'
import { startAdmin } from '../../src/observe/admin.ts'
import { HOSTILE, SCENE_NAMES, type Scene, sceneOf } from '../_lib/observe/scenes.ts'
import { type Browser, startBrowser } from '../_lib/package/browser.ts'
import { suite } from '../_lib/uvu.ts'

const test = suite('package/status_page', () => ({}))

const PICTURES = process.env['PICTURES']
const LOOKS = [
  { name: 'desktop-light', width: 1280, height: 800, scheme: 'light' },
  { name: 'desktop-dark', width: 1280, height: 800, scheme: 'dark' },
  { name: 'phone-light', width: 360, height: 740, scheme: 'light' },
  { name: 'phone-dark', width: 360, height: 740, scheme: 'dark' },
] as const
const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const [DESKTOP] = LOOKS

async function served(scene: Scene) {
  const server = await startAdmin({
    listen: { host: '127.0.0.1', port: 0 },
    of: 'admin',
    events: { emit: () => undefined },
    problem: () => undefined,
    pages: {
      metrics: { text: () => Promise.resolve(''), contentType: 'text/plain' },
      statusz: { document: () => sceneOf(scene) },
      checks: () => [],
    },
  })
  const url = `http://${server.address}/`
  return { url, [Symbol.asyncDispose]: () => server.close() }
}

/** What axe finds, one line for each rule. */
async function violations(browser: Browser): Promise<unknown> {
  return await browser.apart(
    AXE,
    `axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' | ')))`,
  )
}

test('every scene in every look asks for nothing, breaks no policy, fits its width and is accessible', async () => {
  await using browser = await startBrowser()

  for (const scene of SCENE_NAMES) {
    await using page = await served(scene)
    for (const look of LOOKS) {
      await browser.open(page.url, look)

      const what = `${scene}, ${look.name}`
      const asked = browser.asked.filter((url) => !url.startsWith('data:'))
      assert.equal(asked, [page.url], what)
      assert.equal(await violations(browser), [], what)
      const width = await browser.evaluate('document.documentElement.scrollWidth')
      assert.is(width, look.width, what)
      assert.is(await browser.evaluate('document.scripts.length'), 0, what)
      if (PICTURES !== undefined) await browser.picture(join(PICTURES, `${scene}-${look.name}.png`))
      assert.equal(browser.complaints, [], what)
    }
  }
})

test('the accessibility checker and the policy are really at work', async () => {
  await using browser = await startBrowser()
  await using page = await served('well')
  await browser.open(page.url, DESKTOP)

  await browser.evaluate(`document.body.append(document.createElement('img'))`)
  assert.match(String(await violations(browser)), /image-alt/)
  await browser.evaluate(
    `new Promise((done) => { const image = new Image(); image.onerror = image.onload = done; image.src = '/livez' })`,
  )
  assert.match(browser.complaints.join(''), /Content Security Policy/)
})

test('by keyboard alone all links are reached, and the next command is selected to be copied', async () => {
  await using browser = await startBrowser()
  await using page = await served('denied')
  await browser.open(page.url, DESKTOP)
  const seen: unknown[] = []

  for (let at = 0; at < 5; at += 1) {
    await browser.press('Tab')
    seen.push(
      await browser.evaluate(
        `(() => { const at = document.activeElement; return at.value === undefined ? at.textContent : at.value.slice(at.selectionStart, at.selectionEnd) })()`,
      ),
    )
    const outline = await browser.evaluate('getComputedStyle(document.activeElement).outlineStyle')
    assert.is(outline, 'solid')
  }

  assert.equal(seen, [
    'trousseau vault policy --provider vault-a --config /etc/trousseau/trousseau.yaml',
    'Look again',
    'This as JSON',
    'Checks',
    'Metrics',
  ])
})

test('hostile names and messages come out as text', async () => {
  await using browser = await startBrowser()
  await using page = await served('hostile')
  await browser.open(page.url, DESKTOP)

  const text = String(await browser.evaluate('document.body.textContent'))
  assert.ok(text.includes(HOSTILE.name))
  assert.match(
    text,
    '</p><script>document.title="taken"</script>\u{fffd}[2J\u{fffd}gnp.exe & \u{fffd}',
  )
  assert.not.match(text, /\u{202e}|(?!\n)\p{Cc}/u)
  assert.is(await browser.evaluate('document.querySelectorAll("img, script").length'), 0)
  assert.match(String(await browser.evaluate('document.title')), /– Trousseau$/)
})

test.run()
