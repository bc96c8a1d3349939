/** The config of how a provider that speaks HTTP reaches its service. @module */

import * as v from 'valibot'
import { absolutePath as absolute } from '../remote/login_fields.ts'

/** `https://host`, or `http://`, which a config allows apart. */
export const httpOrigin = v.pipe(
  v.string(),
  v.regex(/^https?:\/\/[^/?#@\s]+\/?$/, 'https://host without a path'),
  v.check((text) => URL.canParse(text), 'https://host'),
  v.transform((text) => new URL(text).origin),
)

export const allowInsecureHttp = v.optional(
  v.pipe(
    v.boolean(),
    v.description('Lets endpoints be http://, where anybody on the way can read keys'),
  ),
  false,
)

export const proxyConfig = v.strictObject({
  url: v.pipe(
    v.string(),
    v.regex(/^https?:\/\/[^/?#@\s]+\/?$/, 'http://host:port without credentials or path'),
    v.description('http://host:port of the proxy'),
  ),
  except: v.optional(
    v.pipe(
      v.array(
        v.pipe(
          v.string(),
          v.regex(/^[\w.:*-]+(?:\/\d{1,3})?$/, 'a host, .domain, address or address/bits'),
        ),
      ),
      v.description('Hosts, .domains, addresses and address/bits that are asked directly'),
    ),
    [],
  ),
  credentialsFile: v.optional(
    v.pipe(absolute, v.description('File with user:password for the proxy')),
  ),
})
