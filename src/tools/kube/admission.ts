/**
 * Finds out from an API server's answer who prevented an object from being written or read. It
 * passes on names only, since the rest of the message may quote the object.
 *
 * @module
 */

import * as v from 'valibot'

export interface Blamed {
  /** `admission webhook "policy.example.org"`. */
  readonly who: string
  /** True where the webhook gave no answer, so that it would also prevent every other write. */
  readonly dead: boolean
}

interface Kind {
  /** Its one group is the name. */
  readonly words: RegExp
  readonly called: string
  readonly dead: boolean
}

const status = v.object({ message: v.string() })
const NAME = '([\\w.-]{1,253})'
const VERSION = '([\\w.-]{1,253}/\\w{1,63}, Kind=\\w{1,63})'
/** The beginning of a message may say which object it is about. */
const OBJECT = '^(?:[^:]{0,600}: )?'
const ANYTHING = '^.{0,2000}?'

const KINDS: readonly Kind[] = [
  kind(`${OBJECT}admission webhook "${NAME}" denied the request`, 'admission webhook'),
  kind(`${OBJECT}ValidatingAdmissionPolicy '${NAME}'`, 'ValidatingAdmissionPolicy'),
  kind(`${OBJECT}policy '${NAME}'.{0,280} denied request`, 'MutatingAdmissionPolicy'),
  kind(`${OBJECT}failed calling webhook "${NAME}"`, 'admission webhook', true),
  kind(`${ANYTHING}conversion webhook for ${VERSION} `, 'conversion webhook for', true),
]

function kind(words: string, called: string, dead = false): Kind {
  return { words: new RegExp(words), called, dead }
}

/** @param body of an answer that is no success */
export function blamedIn(body: unknown): Blamed | undefined {
  if (!v.is(status, body)) return undefined
  for (const { words, called, dead } of KINDS) {
    const [, name] = words.exec(body.message) ?? []
    if (name !== undefined) return { who: `${called} "${name}"`, dead }
  }
  return undefined
}
