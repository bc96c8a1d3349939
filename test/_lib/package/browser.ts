/**
 * Debian's headless Chromium, driven over its own protocol: a page of a size and a colour scheme,
 * what it asked for, what stands in it, and a picture of it.
 *
 * @module
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { debianTool } from '../debian.ts'
import { until } from '../wait.ts'

interface Look {
  readonly width: number
  readonly height: number
  readonly scheme: 'light' | 'dark'
}

export interface Browser extends AsyncDisposable {
  /** Opens a page and waits until it has loaded. */
  open(url: string, look: Look): Promise<void>
  /** URLs that were asked for since the page was opened. */
  readonly asked: readonly string[]
  /** What the page broke of its content security policy, and errors of scripts, since it was opened. */
  readonly complaints: readonly string[]
  /** The value of an expression in the page. */
  evaluate(expression: string): Promise<unknown>
  /** Runs source in a world of the test's own, which the page's policy does not bind. */
  apart(source: string, expression: string): Promise<unknown>
  /** Presses and releases a key, such as `Tab`. */
  press(key: string): Promise<void>
  /** Writes the whole page as PNG. */
  picture(file: string): Promise<void>
}

const FLAGS = [
  '--headless=new',
  // The tests run as root, where its sandbox does not work.
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-component-update',
  '--no-first-run',
  '--hide-scrollbars',
  '--remote-debugging-port=0',
]
const CODES: Readonly<Record<string, number>> = { Tab: 9, Enter: 13 }

export async function startBrowser(): Promise<Browser> {
  const program = await debianTool('chromium')
  const folder = await mkdtemp(join(tmpdir(), 'tr-browser-'))
  const child = spawn(program, [...FLAGS, `--user-data-dir=${folder}`, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = once(child, 'close')
  const end = async () => {
    child.kill('SIGKILL')
    await ended
    // Its other processes notice, and go on writing for a moment.
    await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
  }
  try {
    return driven(await Session.open(await debuggerOf(child)), end)
  } catch (error) {
    await end()
    throw error
  }
}

/** The address that it prints when it is ready. */
async function debuggerOf(child: ChildProcess): Promise<string> {
  let said = ''
  for await (const chunk of child.stderr?.setEncoding('utf8') ?? []) {
    said += String(chunk)
    const address = /DevTools listening on (ws:\S+)/.exec(said)?.[1]
    if (address !== undefined) {
      // A pipe that nobody reads would stop it.
      child.stderr?.resume()
      return address
    }
  }
  throw new Error(`Chromium did not start: ${said}`)
}

type Message = Readonly<Record<string, unknown>>

/** The protocol: numbered calls, and events. */
class Session {
  readonly #socket: WebSocket
  readonly #waiting = new Map<number, (message: Message) => void>()
  readonly #listeners: ((method: string, params: Message) => void)[] = []
  #id = 0
  sessionId: string | undefined

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.addEventListener('message', ({ data }) => this.#take(JSON.parse(String(data))))
  }

  static async open(address: string): Promise<Session> {
    const socket = new WebSocket(address)
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve)
      socket.addEventListener('error', () => reject(new Error(`Cannot connect to ${address}`)))
    })
    const session = new Session(socket)
    const { targetId } = await session.call('Target.createTarget', { url: 'about:blank' })
    const attached = await session.call('Target.attachToTarget', { targetId, flatten: true })
    session.sessionId = String(attached['sessionId'])
    for (const domain of ['Page', 'Runtime', 'Network', 'Log'])
      await session.call(`${domain}.enable`)
    await session.call('Page.setLifecycleEventsEnabled', { enabled: true })
    // Keys go to the page although no window has the focus.
    await session.call('Emulation.setFocusEmulationEnabled', { enabled: true })
    return session
  }

  on(listener: (method: string, params: Message) => void): void {
    this.#listeners.push(listener)
  }

  async call(method: string, params: object = {}): Promise<Message> {
    const id = ++this.#id
    const { promise, resolve } = Promise.withResolvers<Message>()
    this.#waiting.set(id, resolve)
    this.#socket.send(JSON.stringify({ id, method, params, sessionId: this.sessionId }))
    const { result, error } = await promise
    if (error !== undefined) throw new Error(`${method}: ${JSON.stringify(error)}`)
    return result as Message
  }

  #take(message: Message): void {
    const { id, method, params } = message
    if (typeof id === 'number') this.#waiting.get(id)?.(message)
    else for (const listener of this.#listeners) listener(String(method), params as Message)
  }
}

function driven(session: Session, end: () => Promise<void>): Browser {
  let asked: string[] = []
  let complaints: string[] = []
  /** Of which documents all is there: the browser's first empty page is one of them. */
  const loaded = new Set<string>()
  session.on((method, params) => {
    if (method === 'Network.requestWillBeSent') {
      asked.push((params['request'] as { url: string }).url)
    }
    if (method === 'Page.lifecycleEvent' && params['name'] === 'load') {
      loaded.add(String(params['loaderId']))
    }
    if (method === 'Log.entryAdded' || method === 'Runtime.exceptionThrown') {
      complaints.push(JSON.stringify(params))
    }
  })
  const evaluated = async (expression: string, contextId?: unknown) => {
    const call = { expression, contextId, returnByValue: true, awaitPromise: true }
    const { result, exceptionDetails } = await session.call('Runtime.evaluate', call)
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails))
    return (result as { value?: unknown }).value
  }
  return {
    get asked() {
      return asked
    },
    get complaints() {
      return complaints
    },
    async open(url, { width, height, scheme }) {
      ;[asked, complaints] = [[], []]
      const size = { width, height, deviceScaleFactor: 1, mobile: width < 500 }
      await session.call('Emulation.setDeviceMetricsOverride', size)
      const features = [{ name: 'prefers-color-scheme', value: scheme }]
      await session.call('Emulation.setEmulatedMedia', { features })
      const { loaderId } = await session.call('Page.navigate', { url })
      await until(`${url} has loaded`, () => loaded.has(String(loaderId)))
    },
    evaluate: (expression) => evaluated(expression),
    async apart(source, expression) {
      const { frameTree } = await session.call('Page.getFrameTree')
      const frameId = (frameTree as { frame: { id: string } }).frame.id
      const world = await session.call('Page.createIsolatedWorld', { frameId, worldName: 'test' })
      const contextId = world['executionContextId']
      await evaluated(`${source};0`, contextId)
      return await evaluated(expression, contextId)
    },
    async press(key) {
      const what = { key, code: key, windowsVirtualKeyCode: CODES[key] }
      await session.call('Input.dispatchKeyEvent', { type: 'keyDown', ...what })
      await session.call('Input.dispatchKeyEvent', { type: 'keyUp', ...what })
    },
    async picture(file) {
      const shot = { captureBeyondViewport: true, format: 'png' }
      const { data } = await session.call('Page.captureScreenshot', shot)
      await writeFile(file, String(data), 'base64')
    },
    [Symbol.asyncDispose]: end,
  }
}
