/** What every login's config has. @module */

import * as v from 'valibot'

/**
 * A mount, namespace or key path: words joined by `/`, with or without the slash that the service
 * prints at the end. A URL would take `..` for the folder above.
 */
export const vaultPath = v.pipe(
  v.string(),
  v.regex(
    /^(?!(?:.*\/)?\.{1,2}(?:\/|$))[\w.~-]+(?:\/[\w.~-]+)*\/?$/,
    'a path such as "team/name", of letters, digits, ".", "_", "~" and "-"',
  ),
  v.transform((path) => path.replace(/\/$/, '')),
)

export const absolutePath = v.pipe(v.string(), v.startsWith('/'))

export const loginFields = {
  namespace: v.optional(
    v.pipe(
      vaultPath,
      v.description('Namespace of the login where it is not the one of the key; root for none'),
    ),
  ),
}

/** Names as the service takes them. */
export const VAULT_NAME = /^(?!\.{1,2}$)[\w.-]+$/
export const NAME_WORDS = 'a name of letters, digits, ".", "_" and "-"'
export const roleName = v.pipe(v.string(), v.regex(VAULT_NAME, NAME_WORDS))
