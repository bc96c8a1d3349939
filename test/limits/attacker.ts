/**
 * A process of its own that attacks, holds what it has, and tells what it got when it is asked to end:
 * `attacker.ts NAME ADDRESS MS`.
 *
 * @module
 */

import process from 'node:process'
import { ADMIN_ATTACKS } from './admin_attacks.ts'
import { ATTACKS } from './attacks.ts'
import { SEEN } from './connection.ts'

const [, , name = '', path = '', ms = ''] = process.argv
const attack = ATTACKS[name] ?? ADMIN_ATTACKS[name]
if (attack === undefined) throw new Error(`There is no attack "${name}"`)
const end = performance.now() + Number(ms)
const goesOn = () => performance.now() < end

// An attack whose connections are all closed has nothing else that keeps the process.
const kept = setInterval(() => undefined, 1_000)
await attack({ path, goesOn })
await new Promise((resolve) => {
  setTimeout(resolve, Math.max(end - performance.now(), 0))
})
clearInterval(kept)
process.send?.(SEEN, () => process.exit(0))
