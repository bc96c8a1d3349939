/** Where a login key in the node's TPM 2.0 is, as the config names it. @module */

import * as v from 'valibot'
import { absolutePath } from '../login_fields.ts'

export const DEFAULT_DEVICE = '/dev/tpmrm0'
/** `/dev/tpm0` is for one program alone, and leaves behind what a program did not clear away. */
const UNMANAGED = /^\/dev\/tpm\d+$/

export const tpmDevice = v.pipe(
  v.string(),
  v.regex(/^(?:unix:\/\/)?\/[^\s]+$/, 'an absolute path, or unix:///path'),
  v.check(
    (path) => !UNMANAGED.test(path),
    'the device with a resource manager, such as /dev/tpmrm0',
  ),
)

export const tpmKeyConfig = v.strictObject({
  keyFile: v.pipe(absolutePath, v.description('What "login-key create --tpm" made; not secret')),
  policyFile: v.optional(
    v.pipe(
      absolutePath,
      v.description('For a key made with --authorize: what "login-key authorize" signed'),
    ),
  ),
  device: v.optional(
    v.pipe(tpmDevice, v.description('The TPM: a device, or unix:///path of a socket')),
    DEFAULT_DEVICE,
  ),
})
export type TpmKeyConfig = v.InferOutput<typeof tpmKeyConfig>
