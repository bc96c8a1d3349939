/**
 * The licences of the program and of the packages in its bundle. Their texts must go with it
 * wherever it goes: image, release and the bundle for the air gap carry them.
 *
 * @module
 */

import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import process from 'node:process'
import * as v from 'valibot'
import { ROOT } from './cache.ts'

const LICENCE_FILE = /^(?:licen[cs]e|notice|copying)/i
const COMMENT = /\/\*[\s\S]*?\*\/|(?:^[ \t]*\/\/.*\n)+/gm
/** What a package has taken from others and brings without a text, by its name in Node's own licence. */
const TAKEN: Readonly<Record<string, string>> = { 'node_modules/undici/lib/llhttp': 'llhttp' }
const NODE_LICENCE = join(ROOT, 'node_modules', `node-linux-${process.arch}`, 'LICENSE')
const about = v.object({ name: v.string(), version: v.string(), license: v.string() })

/**
 * The program's own first, which is also the text of Apache-2.0 for packages that only name it.
 *
 * @param packages by the folder of each, its files in the bundle
 * @throws Error for a package that comes without any text of a licence or copyright
 */
export async function licenceTexts(
  packages: ReadonlyMap<string, readonly string[]>,
): Promise<string> {
  const texts = [...packages].map(async ([folder, files]) => {
    const found = (await filesAbove(folder, files)) || (await noticesIn(files))
    return section(folder, found)
  })
  const own = section('', await readFile(join(ROOT, 'LICENSE'), 'utf8'))
  return (await Promise.all([own, ...texts])).join('')
}

async function section(folder: string, text: string): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(join(ROOT, folder, 'package.json'), 'utf8'))
  const { name, version, license } = v.parse(about, manifest)
  if (text === '') throw new Error(`${name} has no text of its licence, ${license}`)
  return `\n---- ${name} ${version}: ${license} ----\n\n${text.trim()}\n`
}

/** Those of the package, and of folders in it from which the bundle has something. */
async function filesAbove(folder: string, files: readonly string[]): Promise<string> {
  const folders = new Set([folder])
  for (const file of files) {
    for (let each = dirname(file); each !== folder; each = dirname(each)) folders.add(each)
  }
  const texts = await Promise.all([...folders].map(textsIn))
  return texts
    .flat()
    .map((text) => text.trim())
    .join('\n\n')
}

async function textsIn(folder: string): Promise<string[]> {
  const names = (await readdir(join(ROOT, folder))).filter((name) => LICENCE_FILE.test(name))
  const texts = names.sort().map((name) => readFile(join(ROOT, folder, name), 'utf8'))
  const taken = TAKEN[folder]
  return await Promise.all([...texts, ...(taken === undefined ? [] : [fromNode(taken)])])
}

/** Node has taken the same, and brings the text. */
async function fromNode(name: string): Promise<string> {
  const all = await readFile(NODE_LICENCE, 'utf8')
  const [, text] =
    new RegExp(`^- ${name}, located at .*\\n  "{3}\\n([^]*?)\\n  "{3}$`, 'm').exec(all) ?? []
  if (text === undefined) throw new Error(`Node's licence has no text of ${name}`)
  return `${name}:\n${text.replaceAll(/^ {4}/gm, '')}`
}

/** Of a package that has them in its sources alone. */
async function noticesIn(files: readonly string[]): Promise<string> {
  const texts = await Promise.all(files.map((file) => readFile(join(ROOT, file), 'utf8')))
  const notices = texts.flatMap((text) =>
    (text.match(COMMENT) ?? []).filter((comment) => /copyright/i.test(comment)),
  )
  return [...new Set(notices.map((notice) => notice.trim()))].join('\n\n')
}
