/**
 * Puts faults into copies of the sources one at a time, and says which of them the histories find:
 * `npm run test:chaos -- --planted`. What they do not find says what they cannot judge.
 *
 * @module
 */

import { execFile } from 'node:child_process'
import { cp, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type TempFolder, tempFolder } from '../_lib/temp_folder.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const PARTS = ['src', 'test/_lib', 'test/chaos', 'package.json']
/** So many are tried before a fault counts as not found. */
const HISTORIES = 40

interface Planted {
  readonly title: string
  readonly file: string
  readonly from: string
  readonly to: string
  /** Why no history can show it. */
  readonly unseen?: string
}

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: parts of sources.
export const PLANTED: readonly Planted[] = [
  {
    title: 'base: a login that failed is answered for ever',
    file: 'base/attempts/single_flight.ts',
    from: '      this.#underWay = undefined\n',
    to: '',
  },
  {
    title: 'remote: a denied token is kept',
    file: 'remote/token_source.ts',
    from: "if (toKmsError(error).code !== 'denied' || !(await this.#mayReplace(token, call))) throw error",
    to: 'throw error',
  },
  {
    title: 'remote: connections are never closed',
    file: 'remote/http/connections.ts',
    from: '    await Promise.all([...this.#retired.keys()].map((dispatcher) => dispatcher.destroy()))\n',
    to: '',
    unseen: 'what is still open ends with its proxy',
  },
  {
    title: 'remote: a broken kept connection is not tried again',
    file: 'remote/http/client.ts',
    from: 'return repeatable && isStale(error)',
    to: 'return repeatable && error === undefined',
    unseen: 'a request that fails once is allowed',
  },
  {
    title: 'services/vault: results of another request are taken',
    file: 'services/vault/answer.ts',
    from: '  checkReferences(asked, results)\n',
    to: '',
  },
  {
    title: 'services/vault: words of the service are in messages',
    file: 'services/vault/api.ts',
    from: 'answered ${status}: ${why}`',
    to: 'answered ${status}: ${why} ${text}`',
  },
  {
    title: 'services/vault: wraps are bound to nothing',
    file: 'services/vault/transit.ts',
    from: '  return { ...item, associated_data: base64(associatedData) }\n}\n\n/** @param associatedData undefined for a wrap',
    to: '  return item\n}\n\n/** @param associatedData undefined for a wrap',
  },
  {
    title: 'kms: results go to the wrong requests',
    file: 'base/coalescer.ts',
    from: 'this.#settle(entry, outcomes[index])',
    to: 'this.#settle(entry, outcomes[outcomes.length - 1 - index])',
  },
  {
    title: 'kms: wraps of one version are taken for equal',
    file: 'kms/batched_provider.ts',
    from: '${version}:${latin1(associatedData)}${latin1(bytes)}',
    to: '${version}',
  },
  {
    title: 'kms: Encrypt keeps a key id that Status has left',
    file: 'kms/keyring.ts',
    from: 'return { ciphertext, keyId: active.keyId, annotations }',
    to: 'return { ciphertext, keyId: this.#options.health.active(api).keyId, annotations }',
  },
  {
    title: 'kms: a new key version is never used',
    file: 'kms/health_view.ts',
    from: '  return current?.keyId === keys.keyId ? current : keys\n',
    to: '  return current ?? keys\n',
  },
  {
    title: 'kms: Decrypt under threshold is content with one share less',
    file: 'kms/keyring.ts',
    from: 'this.#hedge(openers, envelope.k, call)',
    to: 'this.#hedge(openers, Math.max(envelope.k - 1, 1), call)',
  },
  {
    title: 'kms: a failed provider is asked again only for a request',
    file: 'kms/provider_monitor.ts',
    from: '    this.#scheduleAtMost(this.#delay())\n',
    to: '    if (this.#observation.ok) this.#scheduleAtMost(this.#delay())\n',
  },
  {
    title: 'kms: a lagging replica is believed',
    file: 'kms/rotation.ts',
    from: "if (!kept && newest.createdAt <= newestSeen.createdAt) return 'lagging'",
    to: "if (!kept && newest.createdAt < 0) return 'lagging'",
    unseen: 'an older version still opens, and key id and ciphertext agree',
  },
  {
    title: 'grpc: a socket that vanished is not made again',
    file: 'grpc/server.ts',
    from: 'if (inode === undefined) await this.#bindAgain()\n      else if (inode',
    to: 'if (inode !== undefined && inode',
  },
  {
    title: 'grpc: a failed Encrypt is answered with what was to be encrypted',
    file: 'grpc/v2.ts',
    from: "        const reply = await service.encrypt({ api: 'v2', plaintext }, call)\n",
    to: "        const reply = await service.encrypt({ api: 'v2', plaintext }, call).catch((error: Error) => {\n          error.message += new TextDecoder().decode(plaintext)\n          throw error\n        })\n",
  },
  {
    title: 'plugin: a changed config is in force, and the socket goes on with the one before',
    file: 'plugin/sockets.ts',
    from: 'this.#services.get(endpoint.name)?.to(keyring)',
    to: 'this.#services.get(endpoint.name)?.to(keyring === undefined ? keyring : this.#services.get(endpoint.name) ?? keyring)',
  },
  {
    title: 'plugin: the config is not looked at again after one that was refused',
    file: 'plugin/reload.ts',
    from: '      this.#refused(error)\n',
    to: '      this.#refused(error)\n      this.#stopped = true\n',
  },
  {
    title: 'plugin: providers that go over to the next config are closed',
    file: 'plugin/generation.ts',
    from: 'const left = this.made.filter((each) => after?.made.includes(each) !== true)',
    to: 'const left = this.made.filter(() => after !== this)',
  },
]
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: parts of sources.

const run = promisify(execFile)

/** Whether each was found, and how. Prints as it goes. */
export async function findPlanted(only: string | undefined): Promise<number> {
  await using folder = await tempFolder()
  for (const part of PARTS) await cp(join(ROOT, part), folder.at(part), { recursive: true })
  await symlink(join(ROOT, 'node_modules'), folder.at('node_modules'))
  let wrong = 0
  for (const planted of PLANTED.filter(({ title }) => title.includes(only ?? ''))) {
    const how = await found(folder, planted)
    const expected = planted.unseen === undefined
    wrong += Number((how !== undefined) !== expected)
    const told = how ?? `not found${planted.unseen === undefined ? '' : `: ${planted.unseen}`}`
    process.stdout.write(`${planted.title}\n    ${told}\n`)
  }
  return wrong
}

/** The first thing that was broken. */
async function found(folder: TempFolder, planted: Planted): Promise<string | undefined> {
  const path = folder.at(`src/${planted.file}`)
  const text = await readFile(path, 'utf8')
  if (text.split(planted.from).length !== 2) throw new Error(`${planted.title}: not there once`)
  await writeFile(
    path,
    text.replace(planted.from, () => planted.to),
  )
  const args = ['--here-only', '--first-only', '--histories', String(HISTORIES), '--seed', '1']
  try {
    await run(process.execPath, ['test/chaos/main.ts', ...args], { cwd: folder.path })
    return undefined
  } catch (error) {
    const { stdout = '' } = error as { readonly stdout?: string }
    return /^(?:VIOLATION|FAULT) .*/m.exec(stdout)?.[0].slice(0, 200) ?? String(error)
  } finally {
    await writeFile(path, text)
  }
}
