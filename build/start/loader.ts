/**
 * What a binary runs first. Node gives the program and its code without copying them. A cache that
 * is damaged would end the process, since V8 trusts what it contains, so it is checked here; one
 * that does not fit V8 drops by itself. Without it the program starts all the same, only slower.
 *
 * @module
 */

import { Buffer } from 'node:buffer'
import { hash } from 'node:crypto'
import process from 'node:process'
import { run, scriptOf } from './script.ts'

/** Set by the build; the digest is empty where there is no cache. */
declare const PROGRAM_NAME: string
declare const CACHE_SHA256: string

// Deno, which checks the types, has no such module.
const { getRawAsset } = process.getBuiltinModule('node:sea')
const text = Buffer.from(getRawAsset('program'))
run(scriptOf({ name: PROGRAM_NAME, text, cache: soundCache() }), require)

function soundCache(): Buffer | undefined {
  if (CACHE_SHA256 === '') return undefined
  const cache = Buffer.from(getRawAsset('cache'))
  return hash('sha256', cache) === CACHE_SHA256 ? cache : undefined
}
