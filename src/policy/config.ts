/** The part of the config file about rules: `policy` (docs/policy.md). @module */

import * as v from 'valibot'
import { duration } from '../base/duration.ts'
import { absolutePath } from '../remote/login_fields.ts'
import { tlsConfig } from '../remote/tls_fields.ts'

const MAX_RULES = 128
const MAX_EXPRESSION = 2_048
const MAX_MESSAGE = 256
const MAX_FILES = 32
const DAY_MS = 86_400_000

const NAME = 'a name of lower case letters, digits and "-", such as "kernel-lockdown"'
const name = v.pipe(v.string(NAME), v.regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, NAME))
/** As a field of CEL: `files.apiServer`. */
const FIELD = 'a name of letters, digits and "_", such as "apiServer"'
const field = v.pipe(v.string(FIELD), v.regex(/^[a-z]\w{0,31}$/i, FIELD))

const guards = v.optional(
  v.pipe(
    v.array(v.picklist(['encrypt', 'decrypt'])),
    v.minLength(1, 'encrypt, decrypt or both'),
    v.description('The operations that it guards; Status goes with encrypt'),
  ),
  ['encrypt'],
)

const mode = v.pipe(
  v.picklist(['enforce', 'audit']),
  v.description('enforce refuses the request; audit only tells'),
)

const rule = v.strictObject({
  name: v.pipe(name, v.description('Shown in messages, logs and metrics')),
  expression: v.pipe(
    v.string(),
    v.nonEmpty(),
    v.maxLength(MAX_EXPRESSION),
    v.description('In CEL; it passes where this is true'),
  ),
  message: v.pipe(
    v.string(),
    v.nonEmpty(),
    v.maxLength(MAX_MESSAGE),
    v.description('What API servers and people are told where it does not pass'),
  ),
  mode,
  guards,
  providers: v.optional(
    v.pipe(
      v.array(v.string()),
      v.minLength(1, 'at least one name'),
      v.description('Names of the providers whose keys it guards; all where absent'),
    ),
  ),
  unknown: v.optional(
    v.pipe(
      v.picklist(['refuse', 'pass']),
      v.description('What a rule does that cannot be decided, as where a fact is unknown'),
    ),
    'refuse',
  ),
})

const root = (path: string) => v.optional(absolutePath, path)

const ADDRESS = 'https://host:port, http://host:port or unix:///path'

const opa = v.strictObject({
  address: v.pipe(
    v.string(ADDRESS),
    v.regex(/^(?:https?:\/\/[^/?#@\s]+|unix:\/\/\/\S+)$/, ADDRESS),
    v.description('Where Open Policy Agent listens'),
  ),
  path: v.pipe(
    v.string(),
    v.regex(/^\w[\w-]*(?:\/\w[\w-]*)*$/, 'a path such as "trousseau/allow"'),
    v.description('The decision, below /v1/data'),
  ),
  mode,
  guards,
  noAnswer: v.pipe(
    v.union([
      v.literal('deny'),
      v.strictObject({
        allowFor: v.pipe(
          duration({ minMs: 1_000, maxMs: 7 * DAY_MS }),
          v.description('Since the last answer, or since the start'),
        ),
      }),
    ]),
    v.description('What holds while there is no answer: deny, or allow for a while'),
  ),
  cacheFor: v.optional(
    v.pipe(
      duration({ minMs: 100, maxMs: DAY_MS }),
      v.description('How long an answer holds; it is asked for anew before that'),
    ),
    '30s',
  ),
  timeout: v.optional(
    v.pipe(duration({ minMs: 10, maxMs: 30_000 }), v.description('Time limit of one question')),
    '1s',
  ),
  tls: v.optional(v.pipe(tlsConfig, v.description('For an address with https')), {}),
  tokenFile: v.optional(
    v.pipe(absolutePath, v.description('File with a token that is sent as Bearer')),
  ),
})
export type OpaConfig = v.InferOutput<typeof opa>

const waiver = v.strictObject({
  file: v.pipe(absolutePath, v.description('Where a waiver is put; it may be absent')),
  keyFiles: v.pipe(
    v.array(absolutePath),
    v.minLength(1, 'at least one file'),
    v.maxLength(MAX_FILES),
    v.description('Public keys, PEM or JWK, one of which must have signed it'),
  ),
  maxLifetime: v.optional(
    v.pipe(
      duration({ minMs: 60_000, maxMs: 30 * DAY_MS }),
      v.description('A waiver that is good for longer is refused'),
    ),
    '24h',
  ),
  revoked: v.optional(
    v.pipe(v.array(v.string()), v.description('Ids of waivers that hold no more')),
    [],
  ),
})
export type WaiverConfig = v.InferOutput<typeof waiver>

export const policyConfig = v.strictObject({
  interval: v.optional(
    v.pipe(
      duration({ minMs: 100, maxMs: 3_600_000 }),
      v.description('How often facts are read: the longest that a change goes unnoticed'),
    ),
    '500ms',
  ),
  seldom: v.optional(
    v.pipe(
      duration({ minMs: 1_000, maxMs: DAY_MS }),
      v.description('How often facts are read that ask a chip or firmware, such as PCRs'),
    ),
    '30s',
  ),
  node: v.optional(
    v.pipe(
      v.string(),
      v.nonEmpty(),
      v.description("This node's name; that of the host where absent"),
    ),
  ),
  roots: v.optional(
    v.pipe(
      v.strictObject({
        sys: root('/sys'),
        proc: root('/proc'),
        etc: root('/etc'),
        run: root('/run'),
      }),
      v.description("Where the host's folders are seen, such as /host/sys in a container"),
    ),
    {},
  ),
  files: v.optional(
    v.pipe(
      v.record(field, absolutePath),
      v.check((files) => Object.keys(files).length <= MAX_FILES, `at most ${MAX_FILES} files`),
      v.description('Files whose digest, owner and mode are facts, by a name of your choice'),
    ),
    {},
  ),
  encryptionConfig: v.optional(
    v.pipe(absolutePath, v.description("The API server's EncryptionConfiguration")),
  ),
  rules: v.optional(
    v.pipe(
      v.array(rule),
      v.maxLength(MAX_RULES, `at most ${MAX_RULES} rules`),
      v.description('What must hold before a key is used'),
    ),
    [],
  ),
  opa: v.optional(v.pipe(opa, v.description('An outside decision beside the rules'))),
  waiver: v.optional(
    v.pipe(waiver, v.description('How rules are lifted for a while, on one node')),
  ),
})
export type PolicyConfig = v.InferOutput<typeof policyConfig>
export type RuleConfig = PolicyConfig['rules'][number]
