/** A socket that API servers connect to, as a config has it. @module */

import * as v from 'valibot'
import { parseListenPath } from '../base/socket_path.ts'

const socketPath = v.pipe(
  v.string(),
  v.check((text) => {
    try {
      parseListenPath(text)
      return true
    } catch {
      return false
    }
  }, 'an absolute path of at most 103 bytes, or unix:// and one'),
  v.transform(parseListenPath),
)

const MODE = 'octal permissions in quotes such as "0600"'
const uid = v.pipe(v.number(), v.integer(), v.minValue(0))

export const socketConfig = v.strictObject({
  path: v.pipe(
    socketPath,
    v.description('Where kube-apiserver connects; its folder is made when absent'),
  ),
  mode: v.optional(
    v.pipe(
      v.string(MODE),
      v.regex(/^0?[0-7]{3}$/, MODE),
      v.description('Permissions of the socket in octal; connecting needs write permission'),
      v.transform((text) => Number.parseInt(text, 8)),
    ),
    '0600',
  ),
  owner: v.optional(v.pipe(uid, v.description('Numeric user id that owns the socket'))),
  group: v.optional(v.pipe(uid, v.description('Numeric group id of the socket'))),
})
