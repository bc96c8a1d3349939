/** The config of TLS to a service that is asked over HTTP. @module */

import * as v from 'valibot'
import { absolutePath as absolute } from './login_fields.ts'

export const tlsConfig = v.pipe(
  v.strictObject({
    caFile: v.optional(
      v.pipe(absolute, v.description('PEM file of the authorities to trust, and no others')),
    ),
    caDir: v.optional(v.pipe(absolute, v.description('Folder of such files (.pem, .crt, .cer)'))),
    serverName: v.optional(
      v.pipe(v.string(), v.nonEmpty(), v.description('Name in the certificate of the service')),
    ),
    certFile: v.optional(
      v.pipe(absolute, v.description('PEM file of the client certificate; may hold its key too')),
    ),
    keyFile: v.optional(
      v.pipe(absolute, v.description('PEM file of its key, where certFile does not hold it')),
    ),
    dangerouslySkipVerification: v.optional(
      v.pipe(
        v.boolean(),
        v.description('Takes any certificate: anybody on the way can read keys and tokens'),
      ),
      false,
    ),
  }),
  v.check(
    ({ certFile, keyFile }) => keyFile === undefined || certFile !== undefined,
    'keyFile only with certFile',
  ),
)
